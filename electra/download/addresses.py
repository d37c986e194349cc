"""Where data sets and released checkpoints are, with their sizes and hashes."""

from __future__ import annotations

from typing import NamedTuple


class Remote(NamedTuple):
    """A file, and where it is. Size and hash are None where no trusted source states them.

    The addresses are tried in order. They hold the same bytes: size and hash are those of all, and
    a file without a hash has its authors' address alone.
    """

    urls: tuple[str, ...]
    size: int | None  # bytes
    sha256: str | None
    folder: str = ""  # where in the data set a plain file belongs, "." for its top; "": an archive

    @property
    def name(self) -> str:
        return self.urls[0].rsplit("/", 1)[1]


class DataSet(NamedTuple):
    """The files of a data set or a released checkpoint."""

    folder: str  # its name under --to
    files: tuple[Remote, ...]

    @property
    def is_checkpoint(self) -> bool:
        """Whether it has plain files only: a released checkpoint in Hugging Face's layout."""
        return all(remote.folder for remote in self.files)


def _electra(
    size: str, part: str, config_size: int, weights_sha256: str | None
) -> tuple[Remote, ...]:
    """One of the two networks of a released ELECTRA. Each has a folder: their file names are equal.

    The repositories' pages state the hash of the weights, and exact sizes only below 1,000 bytes.
    """
    url = f"https://huggingface.co/google/electra-{size}-{part}/resolve/main/"
    return (
        Remote((url + "config.json",), config_size, None, part),
        Remote((url + "vocab.txt",), None, None, part),
        Remote((url + "tokenizer_config.json",), 48, None, part),
        Remote((url + "pytorch_model.bin",), None, weights_sha256, part),
    )


_HUB_DATA = "https://huggingface.co/datasets/"
_BERT_BASE = "https://huggingface.co/google-bert/bert-base-uncased/resolve/main/"
_GLUE = "https://dl.fbaipublicfiles.com/glue/data/"
_SENTEVAL = "https://dl.fbaipublicfiles.com/senteval/senteval_data/"
_SST2 = Remote(
    (_GLUE + "SST-2.zip",),
    7_439_277,
    "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa",
)

DATA_SETS = {
    "wikitext-103": DataSet(
        "wikitext-103-raw",
        (
            Remote(
                # The author's own copy, then one on the Hugging Face hub. The first address of
                # all, research.metamind.io on Amazon S3, has answered 403 since spring 2024.
                (
                    "https://wikitext.smerity.com/wikitext-103-raw-v1.zip",
                    _HUB_DATA + "mattdangerw/wikitext-103-raw/resolve/main/wikitext-103-raw-v1.zip",
                ),
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
                (
                    "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
                    _HUB_DATA + "NolanChai/aclImdb_v1/resolve/main/aclImdb_v1.tar.gz",
                ),
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
                (_GLUE + "CoLA.zip",),
                376_971,
                "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff",
            ),
            Remote(
                (_GLUE + "STS-B.zip",),
                802_872,
                "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85",
            ),
            Remote(
                (_GLUE + "QQP-clean.zip",),
                41_696_084,
                "40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0",
            ),
            Remote(
                (_GLUE + "MNLI.zip",),
                312_783_507,
                "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633",
            ),
            Remote(
                (_GLUE + "QNLIv2.zip",),
                10_627_589,
                "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5",
            ),
            Remote(
                (_GLUE + "RTE.zip",),
                697_150,
                "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee",
            ),
            Remote(
                (_GLUE + "WNLI.zip",),
                28_999,
                "ae0e8e4d16f4d46d4a0a566ec7ecceccfd3fbfaa4a7a4b4e02848c0f2561ac46",
            ),
            Remote(
                (_GLUE + "AX.tsv",),
                222_257,
                "0e13510b1bb14436ff7e2ee82338f0efb0133ecf2e73507a697dc210db3f05fd",
                "AX",
            ),
            Remote(
                (_GLUE + "mrpc_dev_ids.tsv",),
                6_222,
                "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7",
                "MRPC",
            ),
            Remote(
                (_SENTEVAL + "msr_paraphrase_train.txt",),
                1_047_044,
                "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89",
                "MRPC",
            ),
            Remote(
                (_SENTEVAL + "msr_paraphrase_test.txt",),
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
                (_BERT_BASE + "config.json",),
                570,
                "7160e1553ad2ca51d8c1cb066be533db31826e12d173824c1bb0cb1a4f187d20",
                ".",
            ),
            Remote(
                (_BERT_BASE + "vocab.txt",),
                231_508,
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
                ".",
            ),
            Remote(
                (_BERT_BASE + "tokenizer_config.json",),
                48,
                "a025160ef0431f1a392f6f050c1310f4c5d9fb6f275932dbccba73c4d214bf10",
                ".",
            ),
            Remote(
                (_BERT_BASE + "model.safetensors",),
                440_449_768,
                "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3",
                ".",
            ),
        ),
    ),
}
