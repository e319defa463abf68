"""Behaviours ask for what they say: the answer is that of the cues, the wrong one is not, and counterfactuals turn it."""

import re
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from test_tokenizers import merging
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from circuitlib.ablation.check_task import why_left_out
from circuitlib.ablation.hooks import hooked_task
from circuitlib.companion.run import SHORT
from circuitlib.paths import SUBJECTS
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import TASKS, Task
from circuitlib.tasks.behaviours import BEHAVIOURS, context, facts, morphology, sequences, syntax
from circuitlib.tasks.behaviours.confirmation import CONFIRMATION
from circuitlib.tasks.behaviours.pairs import Pairs, kinds, rows, windows
from circuitlib.tasks.behaviours.recall import Recall

SMOLLM2 = "smollm2-135m-instruct-q4_1"
DRAWN, READ = 160, 40
DIFFERENT = 0.6
LONGEST = 20


def maker(task: Task) -> Pairs | Recall:
    """What writes a behaviour's prompts."""
    made: Pairs | Recall = task.example.__self__  # type: ignore[attr-defined]
    return made


MAKERS = {name: maker(task) for name, task in SHORT.items()}
PAIRS = [name for name, made in MAKERS.items() if isinstance(made, Pairs)]
SHOWN = [name for name, made in MAKERS.items() if isinstance(made, Pairs) and made.shots]


@pytest.fixture(scope="module", params=["made here", SMOLLM2])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    """One that makes a token of every word, and the real one."""
    if request.param == SMOLLM2:
        if not (SUBJECTS / SMOLLM2 / "tokenizer.json").is_file():
            pytest.skip("SmolLM2's tokenizer is not here; `make smollm2` fetches it")
        return PreTrainedTokenizerFast.from_pretrained(SUBJECTS / SMOLLM2)
    spaced, other = set[str](), set[str]()
    for made in MAKERS.values():
        some = [chain(*made.rows), *made.fillers.values()] if isinstance(made, Pairs) else [made.words]
        spaced |= {" " + word for word in chain(*some)}
        for template in made.templates:
            pieces = re.findall(r" ?\w+", re.sub(r"\{\w\}", "|", template))
            spaced |= {piece for piece in pieces if piece[0] == " "}
            other |= {*pieces} - spaced
    # Those with a space first: no piece without one is merged inside them.
    return merging([*sorted(spaced), *sorted(other)])


def answers(made: Pairs, cues: list[str]) -> set[str]:
    """All answers of these cues, as they follow the prompt."""
    space = "" if made.joined else " "
    return {space + row[-1] for row in made.rows if [*row[:-1]] == cues}


def test_names_are_keys_and_of_no_other_task() -> None:
    assert len(BEHAVIOURS) == sum(len(kind.TASKS) for kind in (context, facts, morphology, sequences, syntax)) >= 16
    assert len(SHORT) == len(BEHAVIOURS) + len(CONFIRMATION), "none to confirm on was learned from"
    assert not SHORT.keys() & TASKS.keys()
    assert all(name == task.name for name, task in SHORT.items())
    assert len({task.description for task in SHORT.values()}) == len(SHORT)


def test_blocks_are_read() -> None:
    assert rows("a:b\n c:d:e") == [("a", "b"), ("c", "d", "e")]
    assert kinds("\n y: a b\n z: c\n") == [("a", "y"), ("b", "y"), ("c", "z")]
    assert windows("abcde") == [("a", "b", "c", "d"), ("b", "c", "d", "e")]


@pytest.mark.parametrize("name", PAIRS)
def test_rows_are_different_and_of_one_length(name: str) -> None:
    made = MAKERS[name]
    assert isinstance(made, Pairs)
    assert len({len(row) for row in made.rows}) == 1 < len(made.rows[0])
    assert len({*made.rows}) == len(made.rows)
    assert all(word and word == word.strip() for word in chain(*made.rows))
    assert not any({*row[:-1]} & {row[-1]} for row in made.rows) or made.joined


@pytest.mark.parametrize("name", SHORT)
def test_same_seed_same_prompts(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    task = SHORT[name]
    first = task.examples(tokenizer, DRAWN, 5)
    assert first[:READ] == task.examples(tokenizer, READ, 5)
    assert first[:READ] != task.examples(tokenizer, READ, 6)
    rng = np.random.default_rng([5, *name.encode()])
    assert [task.example(tokenizer, rng).text for _ in range(20)] == [e.text for e in first[:20]]
    assert len({(e.text, *e.candidates) for e in first}) >= DIFFERENT * DRAWN


@pytest.mark.parametrize("name", SHORT)
def test_prompts_are_short_and_answers_continue_them(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    groups = SHORT[name].prompts(tokenizer, READ, 0)
    assert len(groups) <= 2
    for group in groups:
        assert group.tokens.shape[1] <= LONGEST
        assert (group.right != group.wrong).all()
        for i, text in enumerate(group.text):
            for answer in group.candidates[i].tolist():
                whole = tokenizer.encode(text + tokenizer.decode([answer]), add_special_tokens=False)
                assert whole == [*group.tokens[i, 1:].tolist(), answer]


@pytest.mark.parametrize("name", SHORT)
def test_counterfactuals_change_the_cues_and_the_answer(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    made = MAKERS[name]
    for group in SHORT[name].prompts(tokenizer, READ, 0):
        assert group.counterfactual is not None
        for i in range(len(group)):
            at = [int(positions[i]) for positions in group.roles.values()]
            changed = (group.tokens[i] != group.counterfactual[i]).nonzero().flatten().tolist()
            assert changed
            assert {*changed} <= {*at}
            right, wrong = (tokenizer.decode([answer]) for answer in group.candidates[i].tolist())
            asked, instead = (
                [tokenizer.decode([token]).strip() for token in row[i, at].tolist()]
                for row in (group.tokens, group.counterfactual)
            )
            if isinstance(made, Recall):
                assert {right, wrong} <= {" " + word for word in re.findall(r"\w+", group.text[i])}
                assert changed == [int(group.roles["B"][i])]
                assert instead == [asked[1], asked[1]]
                continue
            assert right in answers(made, asked)
            assert wrong not in answers(made, asked)
            assert right not in answers(made, instead)
            assert wrong == " " + asked[-1] if made.against_cue else wrong in answers(made, instead)


@pytest.mark.parametrize("name", SHOWN)
def test_shots_do_not_tell_the_answer_of_the_cue(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    made = MAKERS[name]
    assert isinstance(made, Pairs)
    for example in SHORT[name].examples(tokenizer, READ, 0):
        words = re.findall(r"\w+", example.text)
        after = [*pairwise(words), *zip(words, words[2:], strict=False)]
        assert len({*after} & {*made.rows}) >= made.shots
        assert words.count(example.word("A")) == 1


def test_words_of_several_tokens_are_refused() -> None:
    bytes_alone = merging([])
    for task in SHORT.values():
        with pytest.raises(ValueError, match=r"^only 0 of "):
            task.prompts(bytes_alone, READ, 0)
    few = Pairs([(f"cue{letter}", f"answer{letter}") for letter in "abcdefghi"], ["{A}{Y}"]).task("few", "")
    known = merging([f" {word}{letter}" for letter in "abcdefg" for word in ("cue", "answer")])
    message = "only 7 of 9 rows are single tokens for this tokenizer and 8 are needed; these are not: cueh:answerh, cuei:answeri$"
    with pytest.raises(ValueError, match=message):
        few.prompts(known, READ, 0)


@pytest.mark.long
@pytest.mark.skipif(
    not (SUBJECTS / SMOLLM2 / "model.safetensors").is_file(),
    reason="SmolLM2's weights are not here; `make smollm2` fetches them",
)
def test_smollm2_does_them() -> None:
    subject = load_subject(SMOLLM2)
    for name, task in SHORT.items():
        groups = task.prompts(subject.tokenizer, 64, 0)
        clean = torch.cat([hooked_task(subject, group, task.metric, [()])[:, 0] for group in groups])
        assert (clean > 0).double().mean() >= 0.85, name
        assert why_left_out(subject, task) is None, name
