"""One call: the same numbers as the engine's, from a bridge, a subject or a name; refusals before any work."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from circuitlib import head_damage, plot_head_damage
from circuitlib.ablation.attribution import Attribution
from circuitlib.ablation.engine import Ablation, AblationKind
from circuitlib.ablation.hooks import hooked_control, hooked_task
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.base import LOGIT_DIFFERENCE, Example, encode_texts, token_id, tokenise

TRIPLES = [
    ("When Mary and John went to the store, John gave a drink to", " Mary", " John"),
    ("The keys near the cabinet", " are", " is"),
    ("The writer near the guards", " is", " are"),
]
TEXTS = ["The function returns a list of all names.", "Read the file.", "Close the file."]


@pytest.fixture(scope="module")
def subject(checkpoint: Path) -> Subject:
    return load_subject(str(checkpoint), "raw")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, circuitlib; from circuitlib import head_damage, plot_head_damage; "
        "assert callable(head_damage) and callable(plot_head_damage); "
        "print([m for m in ('torch', 'pandas', 'matplotlib', 'transformer_lens') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_is_the_mean_of_what_hooks_see(subject: Subject) -> None:
    frame = head_damage(subject, TRIPLES, control=TEXTS)
    assert list(frame) == ["subject", "layer", "head", "name", "damage", "standard_error", "general", "reward"]
    assert frame["name"].tolist() == [subject.head_name(head) for head in range(subject.heads)]
    assert (frame["layer"] * subject.heads_per_layer + frame["head"]).tolist() == list(range(subject.heads))
    assert set(frame["subject"]) == {"odd"}

    sets = [[], *([head] for head in range(subject.heads))]
    examples = [Example(text, a, [a, b], [1.0, -1.0], {}) for text, a, b in TRIPLES]
    scores = torch.cat(
        [hooked_task(subject, group, LOGIT_DIFFERENCE, sets) for group in tokenise("test", subject.tokenizer, examples)]
    ).double()
    damage = scores[:, :1] - scores[:, 1:]
    assert np.allclose(frame["damage"], damage.mean(0), atol=1e-5)
    assert np.allclose(frame["standard_error"], damage.std(0) / 3**0.5, atol=1e-5)
    assert frame["damage"].abs().max() > 1e-2

    total, tokens = torch.zeros(1 + subject.heads).double(), 0
    for text in TEXTS:
        ids = subject.tokenizer.encode(text, add_special_tokens=False)
        span = torch.tensor([[subject.tokenizer.bos_token_id, *ids]])
        total += len(ids) * hooked_control(subject, span, sets)[0].double()
        tokens += len(ids)
    losses = total / tokens
    assert np.allclose(frame["general"], losses[1:] - losses[0], atol=1e-5)
    assert np.allclose(frame["reward"], frame["damage"] - frame["general"])


@pytest.mark.parametrize("state", ["as loaded", "named only", "folded"])
def test_a_bridge_in_hand_is_measured_as_it_is(checkpoint: Path, subject: Subject, state: str) -> None:
    bridge = TransformerBridge.boot_transformers(str(checkpoint), dtype=torch.float32, device="cpu")
    if state != "as loaded":
        bridge.enable_compatibility_mode(no_processing=state == "named only")
    model = str(checkpoint) if state == "folded" else subject
    ours, theirs = head_damage(bridge, TRIPLES), head_damage(model, TRIPLES)
    assert np.allclose(ours["damage"], theirs["damage"], atol=1e-5)


def test_prompts_of_a_task_are_prompts(subject: Subject) -> None:
    groups = TASKS["ioi"].prompts(subject.tokenizer, 6, seed=0)
    triples = [
        (text, subject.tokenizer.decode([right]), subject.tokenizer.decode([wrong]))
        for group in groups
        for text, right, wrong in zip(group.text, group.right.tolist(), group.wrong.tolist(), strict=True)
    ]
    many = head_damage(subject, groups)
    assert np.allclose(many["damage"], head_damage(subject, triples)["damage"], atol=1e-6)
    one = head_damage(subject, groups[0][:1])
    assert one["standard_error"].isna().all()
    assert "general" not in one


@pytest.mark.parametrize("family", ["neox_checkpoint", "llama_checkpoint", "qwen2_checkpoint"])
def test_other_families(family: str, request: pytest.FixtureRequest) -> None:
    directory = request.getfixturevalue(family)
    frame = head_damage(str(directory), TRIPLES[:1], TEXTS)
    assert np.isfinite(frame["reward"]).all()
    assert frame["damage"].abs().max() > 1e-3


def test_an_unknown_architecture_is_measured_by_hooks_and_says_so(opt_checkpoint: Path) -> None:
    with pytest.warns(UserWarning, match=r"one forward pass per head, exact and slow.*OPT"):
        frame = head_damage(load_subject(str(opt_checkpoint), "raw"), TRIPLES)
    assert len(frame) == 8


def test_a_tokenizer_without_bos_has_eos_in_its_place(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """As Qwen2's: TransformerLens puts it there when it loads a model; alone it is refused."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=96,
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    bare = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|endoftext|>")
    bare.save_pretrained(tmp_path)
    assert bare.bos_token_id is None
    with pytest.raises(ValueError, match=r"no BOS token.*take a subject's tokenizer"):
        TASKS["ioi"].prompts(bare, 2, 0)
    subject = load_subject(str(tmp_path), "raw")
    assert subject.tokenizer.bos_token_id == subject.tokenizer.eos_token_id
    assert np.isfinite(head_damage(subject, TRIPLES, TEXTS)["reward"]).all()


def _groups(tokenizer: PreTrainedTokenizerBase) -> Any:
    return TASKS["greater_than"].prompts(tokenizer, 2, 0)


def _same_answers(tokenizer: PreTrainedTokenizerBase) -> Any:
    group = TASKS["agreement"].prompts(tokenizer, 2, 0)[0]
    return replace(group, candidates=group.candidates[:, [0, 0]])


def _negative(tokenizer: PreTrainedTokenizerBase) -> Any:
    group = TASKS["agreement"].prompts(tokenizer, 2, 0)[0]
    return replace(group, tokens=-group.tokens)


@pytest.mark.parametrize(
    ("prompts", "control", "kind", "message"),
    [
        ([], None, ValueError, "there are no prompts"),
        ("ioi", None, TypeError, "prompts must be a list of"),
        (TRIPLES[0], None, TypeError, "prompt 0 must be"),
        ([("When", " Mary")], None, TypeError, "prompt 0 must be"),
        ([TRIPLES[0], 3], None, TypeError, "prompt 1 must be"),
        ([("When", "Mary", " John")], None, ValueError, r"'Mary' is 2 tokens.*\(' Mary' is one\)"),
        ([("When", " Mary", " Mary")], None, ValueError, "same token"),
        (
            [(" the" * 96, " is", " are")],
            None,
            ValueError,
            "odd takes sequences, one at least, of 1 to 96 tokens with BOS, not 1 of 97",
        ),
        (TRIPLES, [], ValueError, "control has no texts"),
        (TRIPLES, "prose", TypeError, "control must be a list of texts, not str"),
        (TRIPLES, ["prose", 3], TypeError, "control text 1 must be a string"),
        (TRIPLES, ["prose", ""], ValueError, "control text 1 is empty"),
        (TRIPLES, [" the" * 96], ValueError, "of 1 to 96 tokens with BOS, not 1 of 97"),
        (_groups, None, ValueError, "greater_than prompts do not have one right and one wrong"),
        (_same_answers, None, ValueError, "are the same token, so their logits never differ"),
        (_negative, None, ValueError, "token ids must be between 0 and"),
    ],
)
def test_refused_before_any_work(
    prompts: Any, control: Any, kind: type[Exception], message: str, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*arguments: object) -> None:
        pytest.fail("the model was run")

    monkeypatch.setattr("circuitlib.ablation.sweep.engine", work)
    given = prompts(subject.tokenizer) if callable(prompts) else prompts
    with pytest.raises(kind, match=message):
        head_damage(subject, given, control)


def test_what_to_try_is_true(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match="choose another word"):
        token_id(tokenizer, " unbelievable")
    with pytest.raises(ValueError, match=r"is 0 tokens.*choose another word"):
        token_id(tokenizer, "")


def test_the_map_shows_every_head(subject: Subject) -> None:
    frame = head_damage(subject, TRIPLES, TEXTS)
    figure = plot_head_damage(frame.sample(frac=1, random_state=0))
    axis, bar = figure.axes
    shown = np.asarray(axis.collections[0].get_array()).reshape(subject.layers, subject.heads_per_layer)
    assert np.allclose(shown.flatten(), frame["damage"])
    assert axis.get_title() == "odd"
    assert bar.get_ylabel() == "damage (logits)"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("head", "layer")
    assert plot_head_damage(frame, "general").axes[1].get_ylabel() == "general (nats)"
    plt.close("all")
    with pytest.raises(ValueError, match=r"no 'general' to plot; this table has damage"):
        plot_head_damage(frame.drop(columns=["general", "reward"]), "general")
    with pytest.raises(ValueError, match="one subject to a map, not 2"):
        plot_head_damage(pd.concat([frame, frame.assign(subject="other")]))


@pytest.mark.parametrize("heads", [[1, 3], [*range(1, 15)], [*range(14)], [*range(5, 15)], [7], [0, 1, 5, 7]])
def test_a_map_of_some_heads_is_refused(subject: Subject, heads: list[int]) -> None:
    """Its axes would lack layers and heads, and a gap leave no limit of its colours."""
    frame = head_damage(subject, TRIPLES)
    with pytest.raises(ValueError, match=r"a map is of all heads, .* the table lacks some; .* without top"):
        plot_head_damage(frame.iloc[heads])
    assert not plt.get_fignums()


def test_a_map_of_the_top_heads_is_refused(subject: Subject) -> None:
    with pytest.raises(ValueError, match="without top"):
        plot_head_damage(head_damage(subject, TRIPLES, top=4))


def test_a_prompt_without_a_token_is_refused(subject: Subject) -> None:
    """Where nothing is put first."""
    with pytest.raises(ValueError, match="the prompt '' has no token, and bos puts none first"):
        head_damage(subject, [TRIPLES[0], ("", " are", " is")], bos="none")
    (group, *_) = TASKS["ioi"].prompts(subject.tokenizer, 2, seed=0)
    with pytest.raises(ValueError, match="the ioi prompts have no tokens"):
        head_damage(subject, replace(group, tokens=group.tokens[:, :0], counterfactual=None))


def test_what_takes_a_head_s_place(subject: Subject) -> None:
    """A mean by its name is that of the prompts themselves; a resample needs counterfactuals, and no control."""
    groups = TASKS["ioi"].prompts(subject.tokenizer, 4, seed=0)
    reference = Ablation("mean", [group.tokens for group in groups])
    named, given = (head_damage(subject, groups, TEXTS, a) for a in ("mean", reference))
    assert np.allclose(named["reward"], given["reward"])
    assert not np.allclose(named["damage"], head_damage(subject, groups)["damage"], atol=1e-3)
    with pytest.raises(ValueError, match="counterfactual prompts, and these have none"):
        head_damage(subject, TRIPLES, ablation="resample")


@pytest.mark.parametrize("ablation", ["zero", "mean"])
@pytest.mark.parametrize("control", [None, TEXTS])
def test_attribution_then_verify(subject: Subject, control: list[str] | None, ablation: AblationKind) -> None:
    """The heads whose estimate is largest, with the damage that all have when all are measured."""
    groups = TASKS["ioi"].prompts(subject.tokenizer, 6, seed=0)
    whole = head_damage(subject, groups, control, ablation).set_index("name")
    what = Ablation(ablation, [group.tokens for group in groups] if ablation == "mean" else [])
    estimate = Attribution(subject, what)
    said = torch.cat([estimate.task(group, LOGIT_DIFFERENCE).damage for group in groups]).mean(0)
    paid = said
    if control is not None:
        spans = [torch.tensor([ids]) for ids in encode_texts(subject.tokenizer, control)]
        lost = torch.cat([(span.shape[1] - 1) * estimate.control(span).damage for span in spans]).sum(0)
        paid = said - lost / sum(span.shape[1] - 1 for span in spans)
    best = [subject.head_name(head) for head in paid.topk(5).indices.tolist()]
    done: list[int] = []
    frame = head_damage(subject, groups, control, ablation, verify=5, progress=done.append).set_index("name")
    assert set(frame.index) == set(best)
    assert sum(done) == 6 + len(control or [])
    assert frame["damage" if control is None else "reward"].is_monotonic_decreasing
    for name in frame.columns.drop(["estimate", "subject"]):
        assert np.allclose(frame[name].astype(float), whole.loc[frame.index, name].astype(float), atol=1e-5), name
    heads = dict(zip(whole.index, said.tolist(), strict=True))
    assert frame["estimate"].to_dict() == pytest.approx({name: heads[name] for name in best}, abs=1e-5)


def test_verified_heads_with_another_prompt_s_values(subject: Subject) -> None:
    groups = TASKS["ioi"].prompts(subject.tokenizer, 6, seed=0)
    whole = head_damage(subject, groups, ablation="resample").set_index("name")
    frame = head_damage(subject, groups, ablation="resample", verify=4).set_index("name")
    assert np.allclose(frame["damage"], whole.loc[frame.index, "damage"], atol=1e-5)


def test_an_estimate_that_is_not_finite_chooses_no_head(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Attribution.task

    def broken(self: Attribution, *given: Any, **named: Any) -> Any:
        scores = task(self, *given, **named)
        scores.ablated[:, 3] = torch.nan
        return scores

    monkeypatch.setattr(Attribution, "task", broken)
    with pytest.raises(ValueError, match=r"the gradient of .* is not finite, so it tells no head to verify"):
        head_damage(subject, TRIPLES, verify=2)


def test_what_to_verify_is_refused_before_anything_is_measured(subject: Subject) -> None:
    for wrong in (0, -1, subject.heads + 1):
        with pytest.raises(ValueError, match=f"verify must be between 1 and {subject.heads}"):
            head_damage(subject, TRIPLES, verify=wrong)
    with pytest.raises(TypeError, match="top and verify must be whole numbers"):
        head_damage(subject, TRIPLES, verify=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="leave one out"):
        head_damage(subject, TRIPLES, top=3, verify=3)
    with pytest.raises(ValueError, match="without top or verify"):
        plot_head_damage(head_damage(subject, TRIPLES, verify=4))


def test_special_tokens_in_texts(subject: Subject) -> None:
    """BOS is put first once; anywhere else a special token that is spelled out is that token."""
    bos = subject.tokenizer.bos_token
    with pytest.raises(ValueError, match=r"prose' starts with the BOS token"):
        head_damage(subject, TRIPLES, ["prose", bos + "prose"])
    ids = subject.tokenizer.encode("One." + bos + "Two.", add_special_tokens=False)
    assert subject.tokenizer.bos_token_id in ids
    frame = head_damage(subject, TRIPLES, ["One." + bos + "Two."])
    hooked = hooked_control(
        subject,
        torch.tensor([[subject.tokenizer.bos_token_id, *ids]]),
        [(), *((head,) for head in range(subject.heads))],
    )
    assert np.allclose(frame["general"], hooked[0, 1:] - hooked[0, 0], atol=1e-5)


def test_progress_is_told_of_every_prompt_and_text(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks, which change nothing."""
    groups = TASKS["ioi"].prompts(subject.tokenizer, 7, seed=0)
    whole = head_damage(subject, groups, TEXTS)
    monkeypatch.setattr("circuitlib.ablation.head_damage.AT_ONCE", 2)
    for top in (None, 3):
        done: list[int] = []
        frame = head_damage(subject, groups, TEXTS, top=top, progress=done.append)
        assert sum(done) == 7 + len(TEXTS)
        if top is None:
            assert np.allclose(frame["damage"], whole["damage"], atol=1e-5)
            assert max(done) <= 2
