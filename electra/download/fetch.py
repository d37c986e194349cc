"""Fetching one file: from the first of its addresses that has it, resumed, and verified."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tqdm import tqdm

from electra.download.addresses import Remote

CHUNK = 1 << 20  # bytes
TIMEOUT = 60.0  # seconds without a byte
RANGE_NOT_SATISFIABLE = 416
# Some servers, wikitext.smerity.com among them, answer 403 to the name that Python's library gives.
USER_AGENT = "Mozilla/5.0 (compatible; electra-download/1.0)"


# What a request raises where the network or the server is at fault. ValueError: an address that is
# none. OverflowError and MemoryError: a page of any length, which Python reads before a redirect.
_NETWORK_ERRORS = (
    OSError,
    http.client.HTTPException,
    ValueError,
    OverflowError,
    MemoryError,
)


class Fetched(NamedTuple):
    """A file that is there and verified."""

    path: Path
    sha256: str
    failures: list[str]  # the addresses that did not have it, each with what it answered


class _AddressError(Exception):
    """An address does not give the file; another one may."""


def fetch_file(remote: Remote, folder: Path) -> Fetched:
    """Fetch into `folder` from the first address that works, verify, and give the file its name.

    A .part file from before is continued, wherever it came from. Raises ValueError where no address
    has the file: the .part file of a broken connection stays, and one whose size or hash is wrong
    is deleted. Raises OSError where the file cannot be written.
    """
    path = folder / remote.name
    part = path.with_name(path.name + ".part")
    failures: list[str] = []
    if path.exists():
        return Fetched(path, check_hash(path, remote.sha256), failures)

    for url in remote.urls:
        try:
            sha256 = _fetch_from(url, remote, part)
        except _AddressError as answer:
            failures.append(f"{urlsplit(url).netloc}: {answer}")
            continue
        except OSError as error:
            raise OSError(f"{part}: {error}{_ways_on(remote, part)}") from None
        os.replace(part, path)
        return Fetched(path, sha256, failures)
    raise ValueError(
        f"{remote.name} could not be fetched from {' or '.join(failures)}{_ways_on(remote, part)}"
    )


def _ways_on(remote: Remote, part: Path) -> str:
    """What the user can do now, as the end of a message."""
    ways = "; the same command tries again"
    if part.exists():
        size = part.stat().st_size
        ways = f"; {size:,} bytes are in {part}: the same command goes on from there"
    if not remote.folder:
        ways += (
            "; or get the archive elsewhere: --from takes a file that you have, --url another "
            "address (of a set of one archive), --sha256 the hash of another version"
        )
    return ways


def _fetch_from(url: str, remote: Remote, part: Path) -> str:
    """Complete `part` from one address and verify it. Returns its SHA-256.

    A part that came from elsewhere may be of another file. So after a wrong hash the address is
    asked once more, for the whole file.
    """
    resumed = part.exists() and part.stat().st_size > 0
    try:
        return _receive_and_verify(url, remote, part)
    except _WrongFileError:
        if not resumed:
            raise
    return _receive_and_verify(url, remote, part)


class _WrongFileError(_AddressError):
    """What came is not the file. It is deleted."""


def _receive_and_verify(url: str, remote: Remote, part: Path) -> str:
    _receive(url, remote, part)
    size, sha256, problem = part.stat().st_size, sha256_of(part), ""
    if remote.size is not None and size != remote.size:
        problem = f"got {size:,} bytes, expected {remote.size:,}"
    elif remote.sha256 is not None and sha256 != remote.sha256:
        problem = f"SHA-256 is {sha256}, expected {remote.sha256}"
    if problem:
        part.unlink()
        raise _WrongFileError(f"{problem}; deleted, as it is not the official file")
    return sha256


def _receive(url: str, remote: Remote, part: Path) -> None:
    """Append to `part` what it lacks.

    Raises _AddressError where the address has no such file, or the connection ends early.
    """
    have = part.stat().st_size if part.exists() else 0
    if remote.size is not None and have > remote.size:
        part.unlink()  # longer than the file itself, so no part of it
        have = 0
    if have and have == remote.size:
        return
    response = _open(url, have, part)
    if response is None:
        return

    with response:
        start, total = _extent(response)
        # Looked at before anything is written: an error page does not cost the part.
        if None not in (total, remote.size) and total != remote.size:
            raise _AddressError(f"its file has {total:,} bytes, expected {remote.size:,}")
        if start not in (0, have):
            raise _AddressError(f"the server sent the part from byte {start:,}, not {have:,}")
        have = start  # 0: a server without ranges sends all of it again
        received = _append(response, part, have, total, remote)
    if total is not None and received < total:
        raise _AddressError(f"the connection ended after {received:,} of {total:,} bytes")


def _open(url: str, have: int, part: Path) -> http.client.HTTPResponse | None:
    """The answer to a request for all but the first `have` bytes; None where there are no more."""
    headers = {"User-Agent": USER_AGENT}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == RANGE_NOT_SATISFIABLE and have:
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return None  # a run stopped between the last byte and the check
            part.unlink()
            raise _WrongFileError("its file is shorter than the part of it here") from None
        raise _AddressError(f"{error.code} {error.reason}".strip()) from None
    except _NETWORK_ERRORS as error:
        raise _AddressError(_words_of(error)) from None


def _words_of(error: Exception) -> str:
    """What went wrong on the way, without the class names around it."""
    if isinstance(error, (OverflowError, MemoryError)):
        return "an answer that is too long"
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(reason).__name__


def _append(
    response: http.client.HTTPResponse, part: Path, have: int, total: int | None, remote: Remote
) -> int:
    """Write the body into `part` behind its first `have` bytes. Returns the length of the part.

    Ends at the first byte too many: another file may have any length.
    """
    with (
        open(part, "r+b" if have else "wb") as file,
        tqdm(
            total=total, initial=have, unit="B", unit_scale=True, desc=remote.name, disable=None
        ) as bar,
    ):
        file.seek(have)
        while block := _read(response):
            file.write(block)
            bar.update(len(block))
            if remote.size is not None and file.tell() > remote.size:
                break
        return file.tell()


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except _NETWORK_ERRORS as error:
        raise _AddressError(f"the connection ended ({_words_of(error)})") from None


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """(where the body starts within the file, how long the file is as far as the server says).

    Raises _AddressError for a range that the server does not describe.
    """
    if response.status != http.client.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if re.fullmatch("[0-9]{1,18}", length) else None
    described = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|\*)", described)
    if match is None:
        raise _AddressError("the server sent a part without saying which")
    return int(match[1]), None if match[2] == "*" else int(match[2])


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(path: Path, expected: str | None) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises ValueError where it is not the expected one."""
    actual = sha256_of(path)
    if expected is not None and actual != expected:
        raise ValueError(
            f"{path}: SHA-256 is {actual}, expected {expected}: damaged, or another version; get "
            f"it again, or give --sha256 with the hash that you trust (a set of one archive)"
        )
    return actual
