"""Fetch, verify and unpack data sets and released checkpoints: python scripts/download.py imdb

    wikitext-103  -> data/wikitext-103-raw/wiki.{train,valid,test}.raw
    sst2          -> data/SST-2/{train,dev,test}.tsv
    imdb          -> data/aclImdb/{train,test}/...
    glue          -> data/glue/{CoLA,RTE,...}/...; MRPC as the two files of its authors and GLUE's list of dev ids
    electra-small -> data/electra-small/{discriminator,generator}/{config.json,vocab.txt,...,pytorch_model.bin}
    electra-base, electra-large: likewise
    bert-base     -> data/bert-base/{config.json,vocab.txt,tokenizer_config.json,model.safetensors}

A download that broke off goes on where it stopped when the same command is given again. An archive that is already on
disk is used with --from. Checkpoints are plain files, as scripts/convert.py import reads them; here they are bytes, and
nothing in them is run. Only standard-library modules and tqdm are needed, not the package itself.
"""

from __future__ import annotations

import argparse
import errno
import gzip
import hashlib
import http.client
import lzma
import os
import re
import shlex
import shutil
import stat
import struct
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, NoReturn

from tqdm import tqdm

CHUNK = 1 << 20
TIMEOUT = 60.0  # seconds without a byte
LONGEST_MESSAGE = 2_000  # characters
# What an archive may unpack to: so many times its own size, or what is little on any disk. Text reaches ten times; what
# is made to fill a disk, a thousand.
LARGEST_RATIO = 200
ALWAYS_ROOM = 1 << 28  # bytes
DEEPEST = 64  # folders within folders

# What the readers of archives raise for damaged ones; ValueError and IndexError for numbers and names that are none.
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    MemoryError,
    NotImplementedError,
    ValueError,
    IndexError,
)
_TAR_STREAMS: dict[str, Callable[..., Any]] = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.xz": lzma.open,
}


class Remote(NamedTuple):
    """A file on its authors' server. `size` in bytes; None where no source to trust states the size or the hash.

    `folder`: where in the data set a file that is no archive belongs; "." is the top.
    """

    url: str
    size: int | None
    sha256: str | None
    folder: str = ""

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]


class DataSet(NamedTuple):
    folder: str  # what it is called under --to
    files: tuple[Remote, ...]

    @property
    def is_checkpoint(self) -> bool:
        """Plain files only, nothing to unpack: a released checkpoint in Hugging Face's layout."""
        return all(remote.folder for remote in self.files)


def _electra(
    size: str, part: str, config_size: int, weights_sha256: str | None
) -> tuple[Remote, ...]:
    """One of the two networks of a released ELECTRA, in a folder of its own: both have files of the same names.

    The repositories' pages give the hash of the weights and, exactly, only sizes below 1,000 bytes.
    """
    url = f"https://huggingface.co/google/electra-{size}-{part}/resolve/main/"
    return (
        Remote(url + "config.json", config_size, None, part),
        Remote(url + "vocab.txt", None, None, part),
        Remote(url + "tokenizer_config.json", 48, None, part),
        Remote(url + "pytorch_model.bin", None, weights_sha256, part),
    )


_BERT_BASE = "https://huggingface.co/google-bert/bert-base-uncased/resolve/main/"
_GLUE = "https://dl.fbaipublicfiles.com/glue/data/"
_SENTEVAL = "https://dl.fbaipublicfiles.com/senteval/senteval_data/"
_SST2 = Remote(
    _GLUE + "SST-2.zip",
    7_439_277,
    "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa",
)

DATA_SETS = {
    "wikitext-103": DataSet(
        "wikitext-103-raw",
        (
            Remote(
                "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-103-raw-v1.zip",
                191_984_949,
                "91c00ae287f0d699e18605c84afc9e45c192bc6b7797ff8837e5474655a33794",
            ),
        ),
    ),
    "sst2": DataSet("SST-2", (_SST2,)),
    "imdb": DataSet(
        "aclImdb",
        (
            Remote(
                "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
                84_125_825,
                "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
            ),
        ),
    ),
    "glue": DataSet(
        "glue",
        (
            _SST2,
            Remote(
                _GLUE + "CoLA.zip",
                376_971,
                "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff",
            ),
            Remote(
                _GLUE + "STS-B.zip",
                802_872,
                "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85",
            ),
            Remote(
                _GLUE + "QQP-clean.zip",
                41_696_084,
                "40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0",
            ),
            Remote(
                _GLUE + "MNLI.zip",
                312_783_507,
                "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633",
            ),
            Remote(
                _GLUE + "QNLIv2.zip",
                10_627_589,
                "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5",
            ),
            Remote(
                _GLUE + "RTE.zip",
                697_150,
                "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee",
            ),
            Remote(
                _GLUE + "WNLI.zip",
                28_999,
                "ae0e8e4d16f4d46d4a0a566ec7ecceccfd3fbfaa4a7a4b4e02848c0f2561ac46",
            ),
            Remote(
                _GLUE + "AX.tsv",
                222_257,
                "0e13510b1bb14436ff7e2ee82338f0efb0133ecf2e73507a697dc210db3f05fd",
                "AX",
            ),
            Remote(
                _GLUE + "mrpc_dev_ids.tsv",
                6_222,
                "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7",
                "MRPC",
            ),
            Remote(
                _SENTEVAL + "msr_paraphrase_train.txt",
                1_047_044,
                "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89",
                "MRPC",
            ),
            Remote(
                _SENTEVAL + "msr_paraphrase_test.txt",
                441_275,
                "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784",
                "MRPC",
            ),
        ),
    ),
    "electra-small": DataSet(
        "electra-small",
        (
            *_electra(
                "small",
                "discriminator",
                665,
                "735154b1a8a78ba97da3c8c53c2e3d1d58b8dec5fa5caf0e144661c8bbe0e787",
            ),
            *_electra(
                "small",
                "generator",
                662,
                "0024548b9e17fd7740ed28ed8ee56397d7cdbabfeaa0e934e32b275b05b96378",
            ),
        ),
    ),
    "electra-base": DataSet(
        "electra-base",
        (
            *_electra(
                "base",
                "discriminator",
                666,
                "ff381b988006468d184eb8c1c090be15553155daa960587e8d86465969f1a0c1",
            ),
            *_electra(
                "base",
                "generator",
                662,
                "1dc395e7f3bf849543d2c031a5b6b09751a5e8644fb11f9085f90eceb4afd086",
            ),
        ),
    ),
    "electra-large": DataSet(
        "electra-large",
        (
            *_electra("large", "discriminator", 668, None),
            *_electra(
                "large",
                "generator",
                663,
                "0b39cd7bf4d714e0847255f198341da173ce60795e9f2e8e1a6b5242a3158d84",
            ),
        ),
    ),
    "bert-base": DataSet(
        "bert-base",
        (
            Remote(
                _BERT_BASE + "config.json",
                570,
                "7160e1553ad2ca51d8c1cb066be533db31826e12d173824c1bb0cb1a4f187d20",
                ".",
            ),
            Remote(
                _BERT_BASE + "vocab.txt",
                231_508,
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
                ".",
            ),
            Remote(
                _BERT_BASE + "tokenizer_config.json",
                48,
                "a025160ef0431f1a392f6f050c1310f4c5d9fb6f275932dbccba73c4d214bf10",
                ".",
            ),
            Remote(
                _BERT_BASE + "model.safetensors",
                440_449_768,
                "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3",
                ".",
            ),
        ),
    ),
}


class Refused(ValueError):
    """An archive may be sound, but holds what no data set does."""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        fetch(args)
    except (ValueError, OSError) as error:
        print(f"download.py: error: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def one_line(message: object) -> str:
    """What is said as one line of bounded length: line ends and all else that acts on a terminal, as the name of a file
    or of an archive's member may hold it, are escaped."""
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(message))
    return (
        line
        if len(line) <= LONGEST_MESSAGE
        else f"{line[: LONGEST_MESSAGE // 2]} … {line[-LONGEST_MESSAGE // 2 :]}"
    )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="download.py",
        description="Fetch, verify and unpack a data set, or "
        "fetch the files of a released checkpoint, for scripts/convert.py import.",
    )
    parser.add_argument("data_set", choices=tuple(DATA_SETS))
    parser.add_argument(
        "--to", type=Path, default=Path("data"), help="folder to put it into (default: data)"
    )
    parser.add_argument(
        "--from",
        type=Path,
        dest="archive",
        metavar="FILE",
        help="an archive that is already here (.zip, .tar, .tar.gz, .tar.xz): nothing is downloaded; "
        "not for a checkpoint, which is no archive",
    )
    parser.add_argument(
        "--url",
        help="another address of the archive (not for glue and checkpoints, which are many)",
    )
    parser.add_argument(
        "--sha256", help="hash that the archive must have (default: the official one, where known)"
    )
    return parser.parse_args(argv)


def fetch(args: argparse.Namespace) -> None:
    """Download (or take) the archives, unpack them aside, move the whole into place. A checkpoint is only moved."""
    data_set = DATA_SETS[args.data_set]
    target = args.to / data_set.folder
    if args.archive and data_set.is_checkpoint:
        raise ValueError(
            f"{args.data_set} is several plain files, not an archive for --from; scripts/convert.py "
            "import DIR takes a downloaded folder as it is"
        )
    if os.path.lexists(target):
        raise ValueError(f"{target} is already there; move or delete it, or choose another --to")
    if data_set.is_checkpoint:
        gather(chosen(data_set, args.url, args.sha256), target)
        print(f"{one_line(target)}: {len(data_set.files)} files")
        folders = dict.fromkeys(str(target / remote.folder) for remote in data_set.files)
        command = ["python", "scripts/convert.py", "import", *folders, "--out", f"{target}.pt"]
        print(f"next: {shlex.join(command)}")
        return
    if args.archive:
        check_taken(args.archive, data_set, args.url, args.sha256)
        files = [(args.archive, "")]
    else:
        remotes = chosen(data_set, args.url, args.sha256)
        args.to.mkdir(parents=True, exist_ok=True)
        files = [(download(remote, args.to), remote.folder) for remote in remotes]
    count = install(files, target)
    print(f"{one_line(target)}: {count:,} files")
    if not args.archive:
        print(f"no longer needed: {one_line(', '.join(str(path) for path, _ in files))}")


def chosen(data_set: DataSet, url: str | None, sha256: str | None) -> tuple[Remote, ...]:
    """The files to download, with the user's address and hash in place of the official ones."""
    if not url and not sha256:
        return data_set.files
    if len(data_set.files) > 1:
        raise ValueError("--url and --sha256 are for a data set of one archive")
    if url and not re.match(r"https?://.*[^/]$", url):
        raise ValueError(f"--url {url}: expected the http:// or https:// address of a file")
    remote = data_set.files[0]
    if sha256:  # an archive of the user's choice: the official size says nothing about it
        remote = remote._replace(size=None, sha256=sha256.lower())
    return (remote._replace(url=url or remote.url),)


def check_taken(archive: Path, data_set: DataSet, url: str | None, sha256: str | None) -> None:
    """Hold an archive of the user's to --sha256; without that, say whether it is the official one.

    The user chose it, so another hash (a repacked copy, a .tar.xz for the official .tar.gz) is no error.
    """
    if url:
        raise ValueError("give --from or --url, not both")
    if not archive.is_file():
        raise ValueError(f"{archive}: no such file")
    actual = hash_of(archive)
    if sha256:
        check_hash(archive, actual, sha256.lower())
    else:
        official = actual in (remote.sha256 for remote in data_set.files)
        print(
            f"{one_line(archive)}: SHA-256 {actual} ({'the' if official else 'not the'} official archive)"
        )


# ---------------------------------------------------------------- download


def gather(remotes: tuple[Remote, ...], target: Path) -> None:
    """Download plain files, each into its folder; `target` appears when all are there and verified.

    What has arrived waits in a folder beside it, named .part like an unfinished file, so nothing is kept twice.
    """
    aside = target.with_name(target.name + ".part")
    for remote in remotes:
        folder = aside / remote.folder
        folder.mkdir(parents=True, exist_ok=True)
        download(remote, folder)
    os.rename(aside, target)


def download(remote: Remote, folder: Path) -> Path:
    """Fetch into `folder`, resuming a .part file, verify, and give the file its name. A verified file is kept.

    OSError for a failure on the way (the .part file stays), ValueError for a wrong size or hash (nothing stays).
    """
    path = folder / remote.name
    part = path.with_name(path.name + ".part")
    if path.exists():
        check_hash(path, hash_of(path), remote.sha256)
        return path
    try:
        receive(remote, part)
    except (OSError, http.client.HTTPException) as error:
        kept = part.stat().st_size if part.exists() else 0
        elsewhere = (
            "" if remote.folder else "; or get the archive elsewhere and give it with --from"
        )
        raise OSError(
            f"{remote.url}: {error or type(error).__name__}; {kept:,} bytes are in {part}: the same command "
            f"goes on from there{elsewhere}"
        ) from None
    try:
        if remote.size is not None and part.stat().st_size != remote.size:
            raise ValueError(
                f"{remote.url}: got {part.stat().st_size:,} bytes, expected {remote.size:,}; "
                "deleted, as it is not the official file"
            )
        check_hash(part, hash_of(part), remote.sha256)
    except ValueError:
        part.unlink()
        raise
    os.replace(part, path)
    return path


def receive(remote: Remote, part: Path) -> None:
    """Append what `part` lacks of the remote file. OSError where the connection ends early."""
    have = part.stat().st_size if part.exists() else 0
    if have and have == remote.size:
        return
    request = urllib.request.Request(
        remote.url, headers={"Range": f"bytes={have}-"} if have else {}
    )
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
            return  # the part is whole: an earlier run stopped between the last byte and the check
        if error.code == 416:
            part.unlink()  # longer than the file itself: cannot be a part of it
        raise
    with response:
        start, total = extent(response)
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


def extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Where the body starts within the file and how long the file is, as far as the server says.

    OSError for a range that cannot be placed.
    """
    if response.status != http.client.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        raise ConnectionError("the server sent a part without saying which")
    return int(match[1]), None if match[2] == "*" else int(match[2])


def hash_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def check_hash(path: Path, actual: str, expected: str | None) -> None:
    """ValueError where a hash is not the expected one; where none is known, the actual one is printed."""
    if expected is None:
        print(f"{one_line(path)}: SHA-256 {actual} (none is known to compare with)")
    elif actual != expected:
        raise ValueError(
            f"{path}: SHA-256 is {actual}, expected {expected}: damaged, or another version; get it "
            "again, or give --sha256 with the hash that you trust (a set of one archive)"
        )


# ---------------------------------------------------------------- unpack


def install(files: list[tuple[Path, str]], target: Path) -> int:
    """Unpack (archive, "") and copy (plain file, its folder) so that `target` appears whole or not at all.

    An archive whose only top-level entry has target's name is that folder; any other becomes its content.
    Returns the number of files.
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


def unpack(archive: Path, root: Path) -> None:
    """Write an archive's folders and files under `root`, which nothing in it can leave.

    Data sets need no links and no devices, so any is refused, wherever it points. ValueError names the member;
    ValueError too for an archive that is damaged, of an unknown kind, or holds far more than its size.
    """
    suffix = next(
        (end for end in (".zip", *_TAR_STREAMS) if archive.name.lower().endswith(end)), None
    )
    if suffix is None:
        raise ValueError(f"{archive}: expected a name in .zip, {', '.join(_TAR_STREAMS)}")
    room = max(ALWAYS_ROOM, LARGEST_RATIO * archive.stat().st_size)
    members = (
        zip_members(archive)
        if suffix == ".zip"
        else tar_members(archive, _TAR_STREAMS[suffix], room)
    )
    try:
        for name, source in members:
            if name.startswith("__MACOSX/"):  # what the macOS archiver adds: no data
                continue
            path = safe_path(root, name, archive)
            if source is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb") as file:
                while block := source.read(CHUNK):
                    room -= len(block)
                    if room < 0:
                        too_large(archive)
                    file.write(block)
    except Refused:
        raise
    except FileExistsError:
        raise ValueError(f"{archive}: holds {name!r} twice") from None
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (
            None,
            errno.EINVAL,
        ):  # of the disk, not of the archive
            raise
        raise ValueError(f"{archive}: damaged or incomplete ({error}); get it again") from None


def safe_path(root: Path, name: str, archive: Path) -> Path:
    """`root`/`name`. ValueError for a name that is absolute, has a drive or climbs with "..", by either slash."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in name or "\0" in name:
        raise Refused(
            f"{archive}: member {name!r} would land outside the folder; refused, nothing was unpacked"
        )
    if len(pure.parts) > DEEPEST:
        raise Refused(
            f"{archive}: member {name[:80]!r}… lies {len(pure.parts):,} folders deep; refused, nothing was "
            "unpacked"
        )
    return root.joinpath(*pure.parts)


def zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """(name, content) of each member, content None for a folder. ValueError for links, devices, encryption."""
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):  # 0: made where there are no Unix modes
                refuse(archive, info.filename)
            if info.flag_bits & 1:
                raise Refused(f"{archive}: member {info.filename!r} is encrypted")
            if info.is_dir():
                yield info.filename, None
            else:
                with zipped.open(info) as source:
                    yield info.filename, source


class TarStream:
    """What tarfile reads. It reads a header as a whole, however long that says it is, and it walks over what is not
    asked for: neither goes further here than an archive may."""

    def __init__(self, stream: IO[bytes], archive: Path, room: int) -> None:
        self.stream, self.archive, self.room = stream, archive, room
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= CHUNK:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.stream.read(size)

    def seek(self, position: int) -> int:
        if position > self.room:
            too_large(self.archive)
        return self.stream.seek(position)


def tar_members(
    archive: Path, opener: Callable[..., Any], room: int
) -> Iterator[tuple[str, IO[bytes] | None]]:
    """As `zip_members`, for a tar file behind `opener`'s decompression."""
    with (
        opener(archive, "rb") as stream,
        tarfile.open(fileobj=TarStream(stream, archive, room), mode="r:") as tar,
    ):
        while (info := tar.next()) is not None:
            if info.size < 0:  # tarfile would go back, for ever
                raise tarfile.ReadError(f"a member of {info.size:,} bytes")
            if info.isdir():
                yield info.name, None
            elif info.isreg():
                yield info.name, tar.extractfile(info)
            else:
                refuse(archive, info.name)
        # tarfile takes a damaged header for the end. What follows a true end is zeros; reading it all also makes the
        # decompressor compare its checksum.
        while block := stream.read(CHUNK):
            if block.strip(b"\0"):
                raise tarfile.ReadError("data after the end of the archive")
            if stream.tell() > room:
                too_large(archive)


def too_large(archive: Path) -> NoReturn:
    raise Refused(
        f"{archive}: holds more than {LARGEST_RATIO} times its size, as no data set does; refused, nothing "
        "was unpacked"
    )


def refuse(archive: Path, name: str) -> None:
    raise Refused(
        f"{archive}: member {name!r} is a link or a device; refused, nothing was unpacked"
    )


if __name__ == "__main__":
    sys.exit(main())
