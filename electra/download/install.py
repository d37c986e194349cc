"""A data set or a released checkpoint: fetched or taken from disk, and moved into place whole."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from electra.download.addresses import DATA_SETS, DataSet, Remote
from electra.download.archives import unpack
from electra.download.fetch import Fetched, check_hash, fetch_file


def install(
    name: str,
    to: Path,
    archive: Path | None = None,
    url: str | None = None,
    sha256: str | None = None,
) -> Iterator[str]:
    """Put the data set or checkpoint `name` into `to`, while yielding what to tell the user.

    `archive` is taken in place of a download, `url` and `sha256` in place of the official ones.
    Its folder appears whole or not at all. Raises ValueError for what does not go together, is
    already there, is not what it should be, or that no address has; OSError where writing fails.
    """
    data_set = DATA_SETS[name]
    target = to / data_set.folder
    if archive and data_set.is_checkpoint:
        raise ValueError(
            f"{name} is several plain files, not an archive for --from; scripts/convert.py import "
            f"DIR takes a downloaded folder as it is"
        )
    if os.path.lexists(target):
        raise ValueError(f"{target} is already there; move or delete it, or choose another --to")
    if archive and url:
        raise ValueError("give --from or --url, not both")

    if data_set.is_checkpoint:
        yield from _install_checkpoint(choose_files(data_set, url, sha256), target)
    elif archive:
        yield from _install_archive(archive, data_set, sha256, target)
    else:
        yield from _install_data_set(choose_files(data_set, url, sha256), to, target)


def choose_files(data_set: DataSet, url: str | None, sha256: str | None) -> tuple[Remote, ...]:
    """The files to fetch, with the user's address and hash in place of the official ones."""
    if not url and not sha256:
        return data_set.files
    if len(data_set.files) > 1:
        raise ValueError("--url and --sha256 are for a data set of one archive")
    if url and not re.match(r"https?://.*[^/]$", url):
        raise ValueError(f"--url {url}: expected the http:// or https:// address of a file")
    remote = data_set.files[0]
    if sha256:
        # The archive is the user's choice: the official size says nothing about it.
        remote = remote._replace(size=None, sha256=sha256.lower())
    return (remote._replace(urls=(url,) if url else remote.urls),)


def _install_checkpoint(remotes: tuple[Remote, ...], target: Path) -> Iterator[str]:
    # What has arrived waits beside the target, named .part like an unfinished file: nothing is
    # stored twice, and a broken download resumes.
    staging = target.with_name(target.name + ".part")
    for remote in remotes:
        folder = staging / remote.folder
        folder.mkdir(parents=True, exist_ok=True)
        yield from _remarks(remote, fetch_file(remote, folder))
    os.rename(staging, target)

    yield f"{target}: {len(remotes)} files"
    folders = dict.fromkeys(str(target / remote.folder) for remote in remotes)
    command = ["python", "scripts/convert.py", "import", *folders, "--out", f"{target}.pt"]
    yield f"next: {shlex.join(command)}"


def _install_archive(
    archive: Path, data_set: DataSet, sha256: str | None, target: Path
) -> Iterator[str]:
    """Another hash than the official one (a repacked copy) is no error: the user chose the file."""
    if not archive.is_file():
        raise ValueError(f"{archive}: no such file")
    actual = check_hash(archive, sha256.lower() if sha256 else None)
    if not sha256:
        is_official = actual in (remote.sha256 for remote in data_set.files)
        yield (
            f"{archive}: SHA-256 {actual} ({'the' if is_official else 'not the'} official archive)"
        )
    count = assemble([(archive, "")], target)
    yield f"{target}: {count:,} files"


def _install_data_set(remotes: tuple[Remote, ...], to: Path, target: Path) -> Iterator[str]:
    to.mkdir(parents=True, exist_ok=True)
    files = []
    for remote in remotes:
        fetched = fetch_file(remote, to)
        yield from _remarks(remote, fetched)
        files.append((fetched.path, remote.folder))
    count = assemble(files, target)
    yield f"{target}: {count:,} files"
    yield f"no longer needed: {', '.join(str(path) for path, _ in files)}"


def _remarks(remote: Remote, fetched: Fetched) -> Iterator[str]:
    """What a user should know of a file that was fetched."""
    if fetched.failures:
        yield f"{remote.name}: from another address, after {'; '.join(fetched.failures)}"
    if remote.sha256 is None:
        yield f"{fetched.path}: SHA-256 {fetched.sha256} (none is known to compare with)"


def assemble(files: list[tuple[Path, str]], target: Path) -> int:
    """Unpack (archive, "") and copy (plain file, its folder), and move the result to `target`.

    An archive whose only top-level entry has the target's name is that folder; any other becomes
    its content. Returns the number of files. `target` appears whole or not at all.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, not in /tmp: the move is then a rename.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
        content = Path(temporary) / "content"
        content.mkdir()
        for path, folder in files:
            if folder:
                (content / folder).mkdir(exist_ok=True)
                shutil.copyfile(path, content / folder / path.name)
            else:
                unpack(path, content)

        if os.listdir(content) == [target.name] and (content / target.name).is_dir():
            content = content / target.name
        count = sum(len(names) for _, _, names in os.walk(content))
        if count == 0:
            raise ValueError(f"{', '.join(str(path) for path, _ in files)}: holds no file")
        os.rename(content, target)
    return count
