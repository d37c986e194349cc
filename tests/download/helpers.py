"""download.py as a user runs it, archives, and what a folder then holds."""

import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


TREE = {
    "SST-2/train.tsv": b"sentence\tlabel\n" + bytes(range(256)) * 500,
    "SST-2/inner/dev.tsv": b"",
    "SST-2/x": b"x",
}


def download(*args):
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    return subprocess.run(
        [sys.executable, "scripts/download.py", *map(str, args)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=environment,
    )


def failed(done, match):
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("download.py: error: ") and done.stderr.count("\n") == 1
    assert re.search(match, done.stderr), done.stderr


def make_zip(path, tree=TREE):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree.items():
            archive.writestr(name, content)
    return path


def make_tar(path, tree=TREE, extra=()):
    with tarfile.open(path, "w:" + path.suffix[1:].replace("tar", "")) as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return path


def files_under(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
