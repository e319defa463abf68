"""Whatever the tokenizer, prompts are what they are meant to be, or are refused before the first."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from drawing import examples
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from circuitlib.tasks import TASKS, Example, Task, words
from circuitlib.tasks.base import encode_texts, token_id, tokenise
from circuitlib.tasks.greater_than import spelling

BOS = "<|endoftext|>"
AROUND = r" ?\p{L}+|%s| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""The pattern that text is split by before merging, but for numbers."""

GPT2, IN_PAIRS, IN_THREES, DIGITS, SPACED_DIGITS = (
    AROUND % number for number in (r" ?\p{N}+", r" ?\p{N}{1,2}", r"\p{N}{1,3}", r"\p{N}", r" ?\p{N}")
)
WORDS = [
    " " + word
    for word in (
        *words.NAMES,
        *words.PLACES,
        *words.OBJECTS,
        *words.ARGUMENTS,
        *words.DESCRIPTIONS,
        *words.EVENTS,
        *words.SINGULARS,
        *words.PLURALS,
        *words.ADJECTIVES,
        "he",
        "she",
        "is",
        "are",
        "was",
        "were",
        "the",
        "and",
        "to",
    )
]
NUMBERS = [*(" " + century for century in words.CENTURIES), *words.YEARS]


def merging(
    pieces: Sequence[str], pattern: str | None = GPT2, special: Sequence[AddedToken] = (), bos: str = BOS
) -> PreTrainedTokenizerBase:
    """A byte-level BPE that merges each piece from its left, the first ones first."""
    merges: dict[tuple[str, str], None] = {}
    for piece in pieces:
        letters = piece.replace(" ", "Ġ")
        merges |= {(letters[:at], letters[at]): None for at in range(1, len(letters))}
    tokens = [bos, *sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges)]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = [] if pattern is None else [pre_tokenizers.Split(Regex(pattern), "isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*split, level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos)


def assert_well_formed(task: Task, tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
    """Each role's token is its word, each answer one token that continues the text, each counterfactual as long
    as its prompt and different from it, at its roles at most."""
    of_text: dict[str, list[Example]] = {}
    for example in task.examples(tokenizer, 16, seed):
        of_text.setdefault(example.text, []).append(example)
    for group in task.prompts(tokenizer, 16, seed):
        assert group.counterfactual is not None
        assert group.counterfactual.shape == group.tokens.shape
        assert (group.tokens[:, 0] == tokenizer.bos_token_id).all()
        assert (group.counterfactual != group.tokens).any(1).all()
        assert (group.counterfactual[:, 0] == group.tokens[:, 0]).all()
        for i, text in enumerate(group.text):
            (example, *_) = of_text[text]
            row = group.tokens[i].tolist()
            assert row == [tokenizer.bos_token_id, *tokenizer.encode(text, add_special_tokens=False)]
            for role, at in group.roles.items():
                word, token = example.word(role), tokenizer.decode([row[at[i]]]).strip()
                assert word.endswith(token) if word.isdigit() else word == token, (role, word, token)
                # What is decoded so far ends where the role does, but for space that a token may have eaten.
                before = tokenizer.decode(row[1 : at[i] + 1])
                assert re.sub(r"\s", "", before) == re.sub(r"\s", "", text[: example.roles[role] + 1])
            answers = [tokenizer.decode([one]) for one in group.candidates[i].tolist()]
            assert answers in [list(same.candidates) for same in of_text[text]]
            right = [a for a, sign in zip(answers, group.signs[i].tolist(), strict=True) if sign > 0]
            assert {same.answer for same in of_text[text]} & set(right)
            assert len(right) < len(answers) == len(set(answers))
            if task.name != "greater_than":  # an end year may be one that is merged
                whole = tokenizer.encode(text + right[0], add_special_tokens=False)
                assert whole == [*row[1:], int(group.right[i])]


WORD_SPECIALS = [" and", "the", " Mary", "John", " war", "er", " 17", "1732", "32", "self", " to"]
OTHER_SPECIALS = ["<|x|>", ".", '"""', ":", ",", "  "]
SPECIALS = st.lists(
    st.one_of(
        st.builds(AddedToken, st.sampled_from(WORD_SPECIALS), special=st.booleans()),
        st.builds(
            AddedToken,
            st.sampled_from(OTHER_SPECIALS),
            lstrip=st.booleans(),
            rstrip=st.booleans(),
            special=st.booleans(),
        ),
    ),
    max_size=2,
)


@settings(examples(5, 25), phases=[Phase.generate])
@given(
    keep=st.sampled_from([1.0, 1.0, 0.9, 0.6, 0.2]),
    pattern=st.sampled_from([GPT2, IN_PAIRS, IN_THREES, DIGITS, SPACED_DIGITS, None]),
    spans=st.integers(0, 60),
    special=SPECIALS,
    bos=st.sampled_from([BOS, BOS, " war", "When", "def"]),
    inside=st.sampled_from([[], [], ["er"], ["ar", "th"], ["73", "00"]]),
    seed=st.integers(0, 2**31),
)
def test_any_tokenizer_draws_well_formed_prompts_or_refuses(
    keep: float, pattern: str | None, spans: int, special: list[AddedToken], bos: str, inside: list[str], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    merged = [f" {rng.integers(11, 19)}{rng.integers(0, 100):02d}" for _ in range(spans)]
    pieces = [*inside, *NUMBERS, *WORDS, *merged]
    kept = [piece for piece in pieces if rng.random() < keep]
    tokenizer = merging(kept, pattern, special, bos)
    for task in TASKS.values():
        refused = None
        try:
            task.prompts(tokenizer, 64, 0)
        except ValueError as error:
            refused = str(error)
        assert refused is None or "token" in refused
        if refused is None:
            assert_well_formed(task, tokenizer, seed)


def test_years_that_a_tokenizer_merges_are_not_drawn() -> None:
    merged = [" 1870", " 1844", " 1732", " 1250"]
    tokenizer = merging([*merged, " 110", *NUMBERS, *WORDS])
    years = spelling(tokenizer)
    assert years.size == 2
    for span in merged:
        assert len(tokenizer.encode(span)) == 1
        assert (span[1:3], int(span[3:])) not in years.spans
    # 1101 is not " 11" and "01", so the century has no counterfactual; merging 1870 took " 187" from 1871.
    decades = {span[:4] for span in merged}
    centuries = words.CENTURIES[1:]
    assert years.spans == {(c, y) for c in centuries for y in range(2, 98) if f" {c}{y // 10}" not in decades}
    texts = set()
    for seed in range(4):
        assert_well_formed(TASKS["greater_than"], tokenizer, seed)
        for group in TASKS["greater_than"].prompts(tokenizer, 200, seed):
            texts |= set(group.text)
            assert group.candidates.shape[1] == 100
    drawn = {match[0] for text in texts for match in re.finditer(r" \d{4}", text)}
    assert len(drawn) > 200
    assert not drawn & set(merged)


@pytest.mark.parametrize("pattern", [DIGITS, SPACED_DIGITS])
def test_single_digits_are_asked_for_the_decade(pattern: str) -> None:
    tokenizer = merging([*WORDS, *NUMBERS], pattern)
    assert len(tokenizer.encode(" 1732")) == (5 if pattern == DIGITS else 4)
    assert_well_formed(TASKS["greater_than"], tokenizer, 3)
    for group in TASKS["greater_than"].prompts(tokenizer, 100, 1):
        assert group.counterfactual is not None
        for i, text in enumerate(group.text):
            start, century = re.findall(r"\d+", text)
            decade = int(start[2])
            assert start[:2] == century
            assert text.endswith(century)
            signs = dict(
                zip(
                    (int(tokenizer.decode([a])) for a in group.candidates[i].tolist()),
                    group.signs[i].tolist(),
                    strict=True,
                )
            )
            assert signs == {d: 1.0 if d > decade else -1.0 for d in range(10) if d != decade}
            assert {1.0, -1.0} == set(signs.values())
            assert tokenizer.decode([int(group.tokens[i, group.roles["YY"][i]])]) == start[2]
            other = tokenizer.decode(group.counterfactual[i, 1:])
            assert other == text.replace(start, century + "01")


def test_years_in_threes_are_refused_in_one_sentence() -> None:
    tokenizer = merging([*WORDS, *NUMBERS, *map(str, range(110, 190))], IN_THREES)
    with pytest.raises(ValueError, match="of 768 years it so writes 0"):
        TASKS["greater_than"].prompts(tokenizer, 64, 0)
    assert TASKS["ioi"].prompts(tokenizer, 64, 0)


def test_a_text_that_starts_with_bos_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    text = BOS + "The store was"
    for encode in (
        lambda: encode_texts(tokenizer, [text]),
        lambda: tokenise("x", tokenizer, [Example(text, " old", [" old"], [1.0], {})]),
    ):
        with pytest.raises(ValueError, match=r"starts with the BOS token '<\|endoftext\|>'.*leave it out"):
            encode()
    ((first, *rest),) = encode_texts(tokenizer, ["The store was"])
    assert first == tokenizer.bos_token_id
    assert tokenizer.decode(rest) == "The store was"
    with pytest.raises(ValueError, match="no BOS token"):
        encode_texts(PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer), ["The"])


def test_other_special_tokens_in_a_text_are_themselves() -> None:
    tokenizer = merging(WORDS, special=[AddedToken("<|pad|>", special=True)])
    for special in ("<|pad|>", BOS):
        (ids,) = encode_texts(tokenizer, [f"When{special} Mary"])
        assert ids.count(tokenizer.convert_tokens_to_ids(special)) == 1 + (special == BOS)
        assert tokenizer.decode(ids[1:]) == f"When{special} Mary"
    assert encode_texts(tokenizer, ["<|pad|> Mary"])[0][1] == tokenizer.convert_tokens_to_ids("<|pad|>")


def test_a_role_that_is_not_one_token_is_refused() -> None:
    tokenizer = merging([" Mary gave"], None)
    assert token_id(tokenizer, " Mary")
    for text, last, what in (
        (" Mary gave", 4, "' Mary gave'"),
        (" Mary saw", 8, "'w'"),
        (" Mary", 7, "not in the text"),
    ):
        with pytest.raises(ValueError, match=what):
            tokenise("x", tokenizer, [Example(text, " Mary", [" Mary"], [1.0], {"R": last})])


def test_unknown_words_are_not_single_tokens() -> None:
    known = Tokenizer(models.WordLevel({"Mary": 0, "<unk>": 1}, unk_token="<unk>"))
    known.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=known, bos_token="Mary", unk_token="<unk>")
    with pytest.raises(ValueError, match=r"' John' is unknown to this tokenizer; .*choose another"):
        token_id(tokenizer, " John")
    with pytest.raises(ValueError, match="only 1 of 64 words"):
        TASKS["ioi"].prompts(tokenizer, 1, 0)


def test_a_tokenizer_without_the_words_is_refused_by_name() -> None:
    tokenizer = merging([])
    with pytest.raises(ValueError, match=r"only 0 of 64 words.*Mary"):
        TASKS["ioi"].prompts(tokenizer, 4, 0)
    with pytest.raises(ValueError, match="induction needs 256"):
        TASKS["induction"].prompts(tokenizer, 4, 0)
    with pytest.raises(ValueError, match="5 tokens"):
        token_id(tokenizer, " Mary")
