"""Files of prompts and of control text: what is in them, or an error that names the file and the line."""

from pathlib import Path

import pandas as pd
import pytest

from circuitlib import __main__ as command
from circuitlib.ablation.prompt_file import read_passages, read_prompts

HEADER, ROW = "text,right,wrong\n", "The keys, are, is\n"
LINE = '{"text": "The keys", "right": " are", "wrong": " is"}\n'
PROMPT = ("The keys", " are", " is")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "has no column text, right, wrong"),
        ("a.csv", "text,right\nThe,a\n", "has no column wrong"),
        ("a.csv", HEADER + "The, a\n", r"line 2: 2 cells under 3 names"),
        ("a.csv", HEADER + ROW + "\nYes, John, Mary, John\n", r"line 4: 4 cells under 3 names.*in quotes.*Yes"),
        ("a.csv", "text,right,wrong,note\nThe, b, seen\n", "line 2: 3 cells under 4 names"),
        ("a.csv", HEADER + '"a\nb", are, is\n"a\nb", are\n', "line 4: 2 cells"),
        ("a.csv", "text,right,wrong,right\nThe, a, b, c\n", "has several columns 'right'"),
        ("a.csv", HEADER, "there are no prompts"),
        ("a.csv", HEADER + ROW + ", are, is\n", "line 3: not three strings that hold something"),
        ("a.csv", HEADER + "The, a,\n", "line 2: not three strings that hold something"),
        ("a.csv", HEADER + '"The, a, b\n', r"line 2: unexpected end of data"),
        ("a.jsonl", "", "there are no prompts"),
        ("a.jsonl", LINE + "\n" + LINE[:20], r"line 3: not JSON"),
        ("a.jsonl", LINE + "[" * 100_000, r"line 2: "),
        ("a.jsonl", LINE.replace('" is"', "7"), r"line 1: not three strings"),
        ("a.jsonl", LINE.replace("The keys", ""), r"line 1: not three strings"),
        ("a.jsonl", LINE.replace("keys", r"\ud83d"), r"line 1: .* is no text"),
        ("a.jsonl", LINE.replace("right", "text"), r"line 1: there are several 'text'"),
        ("a.jsonl", '["The", " a", " b"]', r"line 1: not three strings"),
        ("a.json", LINE, r"must end in \.jsonl, \.ndjson, \.csv"),
        ("a.txt", HEADER + ROW, r"must end in \.jsonl, \.ndjson, \.csv"),
        ("a", HEADER + ROW, r"must end in \.jsonl, \.ndjson, \.csv"),
    ],
)
def test_a_file_of_prompts_that_is_none(tmp_path: Path, name: str, text: str, message: str) -> None:
    """The file and the line are named."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        read_prompts(path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_file_of_other_bytes_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=f"{name} is not a text file in UTF-8"):
        read_prompts(path)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.jsonl", "a.JSONL", "a.ndjson"])
def test_what_spreadsheets_and_other_systems_write(tmp_path: Path, name: str, end: str, mark: str) -> None:
    """A mark of the byte order, Windows' ends of lines, capital suffixes; empty lines count, and are passed over."""
    path = tmp_path / name
    written = HEADER + ROW + "\n" + ROW if "csv" in name.lower() else "\n" + LINE + "\n" + LINE
    path.write_bytes((mark + written).replace("\n", end).encode())
    assert read_prompts(path) == {f"{path}, line {line}": PROMPT for line in (2, 4)}


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0c", "\x1c", "\x0b"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, odd: str) -> None:
    """JSON may hold the first three as they are, and prose all."""
    control, text = tmp_path / "control.txt", f"One{odd}and two."
    control.write_bytes(f"\ufeff{text}\r\n \r\nThree.".encode())
    assert read_passages(control) == {f"{control}, line 1": text, f"{control}, line 3": "Three."}
    table = tmp_path / "a.csv"
    table.write_text(HEADER + ROW.replace("keys", f"keys{odd}here"))
    assert [*read_prompts(table).values()] == [(f"The keys{odd}here", " are", " is")]
    if odd >= " ":
        lines = tmp_path / "a.jsonl"
        lines.write_text(LINE.replace("keys", f"keys{odd}here"))
        assert [*read_prompts(lines).values()] == [(f"The keys{odd}here", " are", " is")]


def test_a_file_of_control_text_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names it, before a model is loaded."""
    prompts, control = tmp_path / "prompts.csv", tmp_path / "control.txt"
    prompts.write_text(HEADER + ROW)
    for content, message in ((b"\xff\xfe", "is not a text file in UTF-8"), (b"\n \n", "has no passage")):
        control.write_bytes(content)
        assert command.main(["head-damage", "nowhere", str(prompts), "--control", str(control)]) == 2
        assert f"control.txt {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("Mary", " is", "'Mary' is 2 tokens for this tokenizer; an answer must be one token (' Mary' is one)"),
        (" is", " is", "are the same token, so that nothing is measured"),
    ],
)
def test_answers_that_measure_nothing_are_named_by_their_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], right: str, wrong: str, message: str
) -> None:
    prompts = tmp_path / "prompts.csv"
    whole = pd.DataFrame([PROMPT], columns=["text", "right", "wrong"])
    pd.concat([whole, whole.assign(right=right, wrong=wrong)]).to_csv(prompts, index=False)
    assert command.main(["head-damage", str(checkpoint), str(prompts)]) == 2
    said = capsys.readouterr().err
    assert f"{prompts}, line 3: " in said
    assert message in said


def test_a_text_with_a_second_beginning_is_named_by_its_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.csv"
    whole = pd.DataFrame([PROMPT], columns=["text", "right", "wrong"])
    pd.concat([whole, whole.assign(text=f"<|endoftext|>{PROMPT[0]}")]).to_csv(prompts, index=False)
    assert command.main(["head-damage", str(checkpoint), str(prompts)]) == 2
    assert f"{prompts}, line 3: " in capsys.readouterr().err


def test_a_text_that_is_too_long_or_too_short_is_named_by_its_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("circuitlib.ablation.sweep.engine", lambda *given: pytest.fail("the model was run"))
    prompts, control = tmp_path / "prompts.csv", tmp_path / "control.txt"
    arguments = ["head-damage", str(checkpoint), str(prompts), "--control", str(control)]
    long, whole = " the" * 96, pd.DataFrame([PROMPT], columns=["text", "right", "wrong"])
    control.write_text(f"One.\n\n{long}\n")
    pd.concat([whole, whole.assign(text=long)]).to_csv(prompts, index=False)
    assert command.main(arguments) == 2
    assert f"{prompts}, line 3 is 97 tokens, with what it begins with; odd takes 1 to 96" in capsys.readouterr().err
    whole.to_csv(prompts, index=False)
    assert command.main(arguments) == 2
    assert f"{control}, line 3 is 97 tokens, with what it begins with; odd takes 2 to 96" in capsys.readouterr().err
    control.write_text("One.\n the\n")
    assert command.main([*arguments, "--bos", "none"]) == 2
    assert f"{control}, line 2 is 1 tokens" in capsys.readouterr().err
    whole.assign(text="").to_csv(prompts, index=False)
    assert command.main([*arguments, "--bos", "none"]) == 2
    assert f"{prompts}, line 2: not three strings that hold something" in capsys.readouterr().err
