"""Fetching one file: resumed where it stopped, and verified."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from electra.download.addresses import Remote

CHUNK = 1 << 20  # bytes
TIMEOUT = 60.0  # seconds without a byte
RANGE_NOT_SATISFIABLE = 416


def fetch_file(remote: Remote, folder: Path) -> tuple[Path, str]:
    """Fetch into `folder`, verify, and give the file its name. Returns (its path, its SHA-256).

    A .part file from before is continued; a file that is there is only verified. Raises OSError
    for a failure on the way, and the .part file stays; ValueError for a wrong size or hash, and a
    .part file is deleted.
    """
    path = folder / remote.name
    part = path.with_name(path.name + ".part")
    if path.exists():
        return path, check_hash(path, remote.sha256)
    try:
        _receive(remote, part)
    except (OSError, http.client.HTTPException) as error:
        kept = part.stat().st_size if part.exists() else 0
        message = (
            f"{remote.url}: {error or type(error).__name__}; {kept:,} bytes are in {part}: the "
            f"same command goes on from there"
        )
        if not remote.folder:
            message += "; or get the archive elsewhere and give it with --from"
        raise OSError(message) from None
    try:
        size = part.stat().st_size
        if remote.size is not None and size != remote.size:
            raise ValueError(
                f"{remote.url}: got {size:,} bytes, expected {remote.size:,}; deleted, as it is "
                f"not the official file"
            )
        sha256 = check_hash(part, remote.sha256)
    except ValueError:
        part.unlink()
        raise
    os.replace(part, path)
    return path, sha256


def _receive(remote: Remote, part: Path) -> None:
    """Append to `part` what it lacks. Raises OSError where the connection ends early."""
    have = part.stat().st_size if part.exists() else 0
    if have and have == remote.size:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(remote.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == RANGE_NOT_SATISFIABLE:
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return  # the part is whole: a run stopped between the last byte and the check
            part.unlink()  # longer than the file itself, so no part of it
        raise

    with response:
        start, total = _extent(response)
        if start != have:  # a server without ranges sends all of it again
            have = 0
        with (
            open(part, "r+b" if have else "wb") as file,
            tqdm(
                total=total, initial=have, unit="B", unit_scale=True, desc=remote.name, disable=None
            ) as bar,
        ):
            file.seek(have)
            while block := response.read(CHUNK):
                file.write(block)
                bar.update(len(block))
            received = file.tell()
    if total is not None and received < total:
        raise ConnectionError(f"the connection ended after {received:,} of {total:,} bytes")


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """(where the body starts within the file, how long the file is as far as the server says).

    Raises OSError for a range that the server does not describe.
    """
    if response.status != http.client.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        raise ConnectionError("the server sent a part without saying which")
    return int(match[1]), None if match[2] == "*" else int(match[2])


def check_hash(path: Path, expected: str | None) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises ValueError where it is not the expected one."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    actual = digest.hexdigest()
    if expected is not None and actual != expected:
        raise ValueError(
            f"{path}: SHA-256 is {actual}, expected {expected}: damaged, or another version; get "
            f"it again, or give --sha256 with the hash that you trust (a set of one archive)"
        )
    return actual
