"""Prompts ask what they say they ask, counterfactuals ask something else, and nothing of pretraining is asked again."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from circuitlib.tasks import TASKS, Example, Prompts, words
from circuitlib.tasks.base import fill, is_held_out, single_token_words, tokenise
from circuitlib.workshop.pretraining_text import EXAMPLES


@pytest.mark.parametrize("name", TASKS)
def test_same_seed_same_prompts_and_groups_by_length(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    first, again, other = (TASKS[name].prompts(tokenizer, 40, seed) for seed in (5, 5, 6))
    assert [g.text for g in first] == [g.text for g in again]
    assert [g.text for g in first] != [g.text for g in other]
    for g, a in zip(first, again, strict=True):
        assert g.counterfactual is not None
        assert a.counterfactual is not None
        assert torch.equal(g.counterfactual, a.counterfactual)
    lengths = [g.tokens.shape[1] for g in first]
    assert lengths == sorted(set(lengths))
    assert sum(map(len, first)) == 40
    assert all((g.tokens[:, 0] == tokenizer.bos_token_id).all() for g in first)
    assert all(tokenizer.decode(g.tokens[0, 1:]) == g.text[0] for g in first)


@pytest.mark.parametrize("name", TASKS)
def test_counterfactuals_do_not_change_the_prompts(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    task = TASKS[name]
    rng = np.random.default_rng([3, *name.encode()])
    alone = [task.example(tokenizer, rng).text for _ in range(20)]
    assert [e.text for e in task.examples(tokenizer, 20, 3)] == alone
    longer = task.examples(tokenizer, 30, 3)
    assert longer[:20] == task.examples(tokenizer, 20, 3)


def _combination(name: str, example: Example) -> frozenset[str]:
    """The task words in a text of which the combination is held out, with the index of each in its list."""
    text = example.text
    if name == "ioi":
        return frozenset(answer.strip() for answer in example.candidates)
    if name == "docstring":
        signature = text[text.index("(") + 1 : text.index(")")]
        return frozenset(re.findall(r"\w+", signature)) - {"self", "cls", "data"}
    if name == "greater_than":
        events = [event for event in words.EVENTS if f" {event} " in text]
        return frozenset([*events, "year " + re.findall(r"1\d(\d\d)", text)[0]])
    lists = {"pronoun": [*words.NAMES, *words.OBJECTS], "agreement": words.PLURALS + words.SINGULARS}
    return frozenset(word for word in re.findall(r"\w+", text) if word in lists[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_evaluation_shares_nothing_with_pretraining(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    rng = np.random.default_rng(0)
    trained = [EXAMPLES[name](tokenizer, rng) for _ in range(1000)]
    asked = TASKS[name].examples(tokenizer, 500, 0)
    assert not {e.text for e in trained} & {e.text for e in asked}
    if name == "pronoun":  # its combination is of words of which a sentence shows only two
        return
    combinations = [{_combination(name, e) for e in some} for some in (trained, asked)]
    assert not combinations[0] & combinations[1]
    # The sides are as large as they should be, so that sharing nothing is no accident.
    assert min(map(len, combinations)) > 40


def test_combinations_are_held_out_by_their_indices() -> None:
    shares = [is_held_out(i, j) for i in range(50) for j in range(50)]
    assert sum(shares) * 5 == len(shares)


def _rows(name: str, tokenizer: PreTrainedTokenizerBase, count: int) -> list[Prompts]:
    """Prompts, one at a time."""
    groups = TASKS[name].prompts(tokenizer, count, 0)
    return [group[i : i + 1] for group in groups for i in range(len(group))]


def _changed(row: Prompts, tokenizer: PreTrainedTokenizerBase) -> dict[int, tuple[str, str]]:
    """What the counterfactual has at each position where it is not the prompt."""
    assert row.counterfactual is not None
    return {
        i: (tokenizer.decode([a]), tokenizer.decode([b]))
        for i, (a, b) in enumerate(zip(row.tokens[0].tolist(), row.counterfactual[0].tolist(), strict=True))
        if a != b
    }


def test_ioi_answer_is_the_one_who_does_not_give(tokenizer: PreTrainedTokenizerBase) -> None:
    orders = set()
    for row in _rows("ioi", tokenizer, 100):
        names = [word for word in re.findall(r"[A-Z]\w+", row.text[0]) if word in words.NAMES]
        giver = names[2]
        (answer,) = set(names) - {giver}
        assert tokenizer.decode(row.right) == " " + answer
        assert tokenizer.decode(row.wrong) == " " + giver
        orders.add("ABBA" if names[1] == giver else "BABA")
        for role, word in (("IO", answer), ("S1", giver), ("S2", giver)):
            assert tokenizer.decode(row.tokens[0, row.roles[role]]).strip() == word
        assert row.roles["S1"] < row.roles["S2"]
        # Three other names, nobody twice.
        changed = _changed(row, tokenizer)
        assert set(changed) == {int(row.roles[role]) for role in ("N1", "N2", "S2")}
        others = {other.strip() for _, other in changed.values()}
        assert len(others) == 3
        assert others < set(words.NAMES) - set(names)
    assert orders == {"ABBA", "BABA"}


def test_docstring_answer_is_the_next_parameter(tokenizer: PreTrainedTokenizerBase) -> None:
    layouts = set()
    for row in _rows("docstring", tokenizer, 60):
        text = row.text[0]
        parameters = text[text.index("(self,") + 6 : text.index(")")].split(",")
        documented = re.findall(r":param( \w+):", text)
        assert documented == parameters[: len(documented)]
        assert tokenizer.decode(row.right) == parameters[len(documented)]
        assert tokenizer.decode(row.wrong) in documented
        layouts.add((len(parameters), len(documented)))
        changed = list(_changed(row, tokenizer).values())
        assert [parameter for parameter, _ in changed] == parameters
        others = {other for _, other in changed}
        assert len(others) == len(parameters)
        assert not others & set(parameters)
    assert layouts == {(5, 4), (6, 3)}


def test_induction_is_sixty_one_tokens_and_unambiguous(tokenizer: PreTrainedTokenizerBase) -> None:
    for row in _rows("induction", tokenizer, 50):
        tokens = row.tokens[0].tolist()
        assert len(tokens) == 61
        assert tokens[1] == tokens[60]
        assert tokens[2] == row.right
        assert len(set(tokens[1:60])) == 59
        assert int(row.wrong) in tokens[3:60]
        ((at, (_, other)),) = _changed(row, tokenizer).items()
        assert at == 2 == row.roles["B"]
        assert other.strip() not in row.text[0].split()


def test_greater_than_signs_and_metric(tokenizer: PreTrainedTokenizerBase) -> None:
    for row in _rows("greater_than", tokenizer, 40):
        ((century, start),) = re.findall(r"(1\d)(\d\d)", row.text[0])
        year = int(start)
        assert [tokenizer.decode([a]) for a in row.candidates[0].tolist()] == words.YEARS
        assert (row.signs > 0).sum() == 99 - year
        assert (row.signs < 0).sum() == year + 1
        assert row.text[0].endswith(" " + century)
        assert _changed(row, tokenizer) == {int(row.roles["YY"]): (start, "01")}
    group = TASKS["greater_than"].prompts(tokenizer, 20, 0)[0]
    logits = torch.randn(len(group), len(tokenizer), generator=torch.Generator().manual_seed(0))
    metric = TASKS["greater_than"].metric.function(
        logits.gather(1, group.candidates), logits.logsumexp(-1), group.signs
    )
    probabilities = logits.softmax(-1).gather(1, group.candidates)
    assert torch.allclose(metric, (probabilities * group.signs).sum(1), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "role", "answer"),
    [
        ("pronoun", "NAME", lambda word: [" she" if word in words.FEMALE else " he"]),
        ("agreement", "NOUN", lambda word: [" are", " were"] if word in words.PLURALS else [" is", " was"]),
    ],
)
def test_pronoun_and_agreement_turn_with_their_word(
    name: str, role: str, answer: Callable[[str], list[str]], tokenizer: PreTrainedTokenizerBase
) -> None:
    for row in _rows(name, tokenizer, 60):
        ((at, (word, other)),) = _changed(row, tokenizer).items()
        assert at == row.roles[role]
        assert tokenizer.decode(row.right) in answer(word.strip())
        assert tokenizer.decode(row.wrong) in answer(other.strip())
        assert not set(answer(word.strip())) & set(answer(other.strip()))
        if name == "agreement":
            assert {word + "s", other + "s"} & {word, other}
        else:
            assert other not in row.text[0]


def test_slicing_keeps_rows_together(tokenizer: PreTrainedTokenizerBase) -> None:
    (group,) = TASKS["induction"].prompts(tokenizer, 10, 0)
    some = group[torch.tensor([7, 2])]
    assert some.text == [group.text[7], group.text[2]]
    assert torch.equal(some.tokens, group.tokens[[7, 2]])
    assert group.counterfactual is not None
    assert some.counterfactual is not None
    assert torch.equal(some.counterfactual, group.counterfactual[[7, 2]])
    assert torch.equal(group[2:4].roles["B"], group.roles["B"][2:4])
    assert group.last == 60


def test_counterfactuals_written_by_hand(tokenizer: PreTrainedTokenizerBase) -> None:
    def example(counterfactual: str | None) -> Example:
        return Example("The author", " is", [" is", " are"], [1.0, -1.0], {}, counterfactual)

    (group,) = tokenise("x", tokenizer, [example(None), example(None)])
    assert group.counterfactual is None
    assert group[:1].counterfactual is None
    (group,) = tokenise("x", tokenizer, [example("The authors")])
    assert group.counterfactual is not None
    assert tokenizer.decode(group.counterfactual[0, 1:]) == "The authors"
    with pytest.raises(ValueError, match="1 of 2 prompts have a counterfactual"):
        tokenise("x", tokenizer, [example(None), example("The authors")])
    with pytest.raises(ValueError, match=r"'The old author' is 4 tokens and its prompt 'The author' 3"):
        tokenise("x", tokenizer, [example("The old author")])


def test_fill_says_where_words_end() -> None:
    text, ends = fill("When{A} met{B}.", {"A": "Mary", "B": "John"})
    assert text == "When Mary met John."
    assert (text[ends["A"]], text[ends["B"]]) == ("y", "n")
    assert ends["B"] == text.index("John") + 3
    example = Example(text, "", [], [], ends)
    assert example.word("B") == "John"
    assert example.with_words({"A": "Al", "B": "Frances"}) == "When Al met Frances."


def test_bad_counts_are_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        TASKS["ioi"].prompts(tokenizer, 0, 0)
    assert single_token_words(tokenizer, words.NAMES) == words.NAMES
