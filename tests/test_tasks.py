"""Prompts ask what they say they ask, and nothing of pretraining is asked again."""

import re

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from circuitlib.tasks import TASKS
from circuitlib.tasks.base import fill, single_token_words, token_id
from circuitlib.tasks.words import FEMALE, NAMES, PLURALS


@pytest.mark.parametrize("name", TASKS)
def test_same_seed_same_prompts_and_groups_by_length(
    name: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    first, again, other = (TASKS[name].prompts(tokenizer, 40, seed) for seed in (5, 5, 6))
    assert [g.text for g in first] == [g.text for g in again]
    assert [g.text for g in first] != [g.text for g in other]
    lengths = [g.tokens.shape[1] for g in first]
    assert lengths == sorted(set(lengths))
    assert sum(map(len, first)) == 40
    assert all((g.tokens[:, 0] == tokenizer.bos_token_id).all() for g in first)
    assert all(tokenizer.decode(g.tokens[0, 1:]) == g.text[0] for g in first)


@pytest.mark.parametrize("name", [name for name in TASKS if name != "induction"])
def test_evaluation_shares_no_text_with_pretraining(
    name: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    rng = np.random.default_rng(0)
    texts = [
        {TASKS[name].example(tokenizer, t, rng).text for _ in range(500)}
        for t in ("pretraining", "evaluation")
    ]
    assert not texts[0] & texts[1]


def test_ioi_answer_is_the_one_who_does_not_give(tokenizer: PreTrainedTokenizerBase) -> None:
    orders = set()
    for group in TASKS["ioi"].prompts(tokenizer, 100, 0):
        for i, text in enumerate(group.text):
            names = [word for word in re.findall(r"[A-Z]\w+", text) if word in NAMES]
            giver = names[2]
            (answer,) = set(names) - {giver}
            assert tokenizer.decode(group.right[i : i + 1]) == " " + answer
            assert tokenizer.decode(group.wrong[i : i + 1]) == " " + giver
            orders.add("ABBA" if names[1] == giver else "BABA")
            for role, word in (("IO", answer), ("S1", giver), ("S2", giver)):
                token = group.tokens[i, group.roles[role][i]]
                assert tokenizer.decode([int(token)]).strip() == word
            assert group.roles["S1"][i] < group.roles["S2"][i]
    assert orders == {"ABBA", "BABA"}


def test_docstring_answer_is_the_next_parameter(tokenizer: PreTrainedTokenizerBase) -> None:
    layouts = set()
    for group in TASKS["docstring"].prompts(tokenizer, 60, 0):
        for i, text in enumerate(group.text):
            parameters = text[text.index("(self,") + 6 : text.index(")")].split(",")
            documented = re.findall(r":param( \w+):", text)
            assert documented == parameters[: len(documented)]
            assert tokenizer.decode(group.right[i : i + 1]) == parameters[len(documented)]
            assert tokenizer.decode(group.wrong[i : i + 1]) in documented
            layouts.add((len(parameters), len(documented)))
    assert layouts == {(5, 4), (6, 3)}


def test_induction_is_sixty_one_tokens_and_unambiguous(tokenizer: PreTrainedTokenizerBase) -> None:
    (group,) = TASKS["induction"].prompts(tokenizer, 50, 0)
    assert group.tokens.shape[1] == 61
    assert (group.tokens[:, 1] == group.tokens[:, 60]).all()
    assert (group.tokens[:, 2] == group.right).all()
    for row, wrong in zip(group.tokens.tolist(), group.wrong.tolist(), strict=True):
        assert len(set(row[1:60])) == 59
        assert wrong in row[3:60]


def test_greater_than_signs_and_metric(tokenizer: PreTrainedTokenizerBase) -> None:
    group = TASKS["greater_than"].prompts(tokenizer, 20, 0)[0]
    for i, text in enumerate(group.text):
        match = re.search(r"1\d(\d\d)", text)
        assert match is not None
        year = int(match[1])
        assert (group.signs[i] > 0).sum() == 99 - year
        assert (group.signs[i] < 0).sum() == year + 1
    logits = torch.randn(len(group), len(tokenizer), generator=torch.Generator().manual_seed(0))
    metric = TASKS["greater_than"].metric.function(
        logits.gather(1, group.candidates), logits.logsumexp(-1), group.signs
    )
    probabilities = logits.softmax(-1).gather(1, group.candidates)
    assert torch.allclose(metric, (probabilities * group.signs).sum(1), atol=1e-6)


def test_pronoun_and_agreement_answers(tokenizer: PreTrainedTokenizerBase) -> None:
    for group in TASKS["pronoun"].prompts(tokenizer, 40, 0):
        for i, right in enumerate(group.right):
            name = tokenizer.decode([int(group.tokens[i, group.roles["NAME"][i]])]).strip()
            assert tokenizer.decode([int(right)]) == (" she" if name in FEMALE else " he")
    for group in TASKS["agreement"].prompts(tokenizer, 40, 0):
        for i, right in enumerate(group.right):
            noun = tokenizer.decode([int(group.tokens[i, group.roles["NOUN"][i]])]).strip()
            assert (tokenizer.decode([int(right)]) in (" are", " were")) == (noun in PLURALS)


def test_slicing_keeps_rows_together(tokenizer: PreTrainedTokenizerBase) -> None:
    (group,) = TASKS["induction"].prompts(tokenizer, 10, 0)
    some = group[torch.tensor([7, 2])]
    assert some.text == [group.text[7], group.text[2]]
    assert torch.equal(some.tokens, group.tokens[[7, 2]])
    assert torch.equal(group[2:4].roles["B"], group.roles["B"][2:4])
    assert group.last == 60


def test_fill_says_where_words_end() -> None:
    text, ends = fill("When{A} met{B}.", {"A": "Mary", "B": "John"})
    assert text == "When Mary met John."
    assert (text[ends["A"]], text[ends["B"]]) == ("y", "n")
    assert ends["B"] == text.index("John") + 3


def test_a_tokenizer_without_the_words_is_refused_by_name() -> None:
    bytes_only = Tokenizer(
        models.BPE(
            vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))},
            merges=[],
        )
    )
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_only, bos_token="!")
    with pytest.raises(ValueError, match=r"only 0 of 64 words.*Mary"):
        TASKS["ioi"].prompts(tokenizer, 4, 0)
    with pytest.raises(ValueError, match="induction needs 256"):
        TASKS["induction"].prompts(tokenizer, 4, 0)
    with pytest.raises(ValueError, match="5 tokens"):
        token_id(tokenizer, " Mary")


def test_bad_counts_are_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        TASKS["ioi"].prompts(tokenizer, 0, 0)
    assert single_token_words(tokenizer, NAMES) == NAMES
