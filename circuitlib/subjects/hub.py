"""Files from the Hugging Face hub: the local cache first, and only then the network.

What is cached is used as it is, without asking the hub for a newer revision, so that a run does not change under its
user and works offline. Where there is neither cache nor network the answer comes at once; the hub's own client would
try each file six times.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

Kind = Literal["model", "dataset"]


class HubUnavailable(OSError):
    """The hub did not provide a repository; the message says why."""


def cached(repository: str, file: str, kind: Kind = "model") -> Path | None:
    """Path of a file in the cached snapshot of a repository's main revision, if it is there."""
    try:
        found = try_to_load_from_cache(repository, file, repo_type=kind)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def download(repository: str, wanted: Callable[[Sequence[str]], list[str]], kind: Kind = "model") -> Path:
    """Folder of the repository's snapshot, with those of its files that ``wanted`` picks.

    Raises :class:`HubUnavailable` when there is no network, or no such repository.
    """
    try:
        # One request, not tried again: it tells at once whether the hub can be reached.
        api = HfApi()
        info = (api.model_info if kind == "model" else api.dataset_info)(repository, timeout=10)
        files = wanted([sibling.rfilename for sibling in info.siblings or []])
        return Path(snapshot_download(repository, repo_type=kind, allow_patterns=files))
    except Exception as error:  # the client's errors share no base, and change with its HTTP library
        reason = next(iter(str(error).strip().splitlines()), "")
        raise HubUnavailable(f"{type(error).__name__}: {reason}") from error
