"""The MDPLIB families and their text format."""

import numpy as np
import pytest
from scipy.stats import kstest

from mmdp import GroundSet
from mmdp.instances import gaussian, gkd, mdg, read_mdplib, som, write_mdplib
from mmdp.instances.mdplib import MDPLIB


@pytest.mark.parametrize("make", MDPLIB.values(), ids=MDPLIB.keys())
def test_generated_distances(make):
    """Distances are symmetric with zero diagonal and follow the seed; only max-min can be posed."""
    instance, again, other = make(40, 3), make(40, 3), make(40, 4)
    assert instance.features is None
    assert instance.objectives == ("max-min",)
    assert (instance.distances == instance.distances.T).all()
    assert not np.diag(instance.distances).any()
    assert instance.distances.tobytes() == again.distances.tobytes()
    assert not np.array_equal(instance.distances, other.distances)


def test_gkd_is_euclidean():
    """Distances between points of a 10-dimensional cube of side 10: a metric of rank 10."""
    D = gkd(30, seed=1).distances
    centring = np.eye(30) - 1 / 30
    spectrum = np.linalg.eigvalsh(-centring @ D**2 @ centring / 2)
    assert (spectrum[:-10] < 1e-9).all()
    assert (spectrum[-10:] > 1).all()
    assert D.max() < 10 * np.sqrt(10)
    assert D[np.triu_indices(30, 1)].mean() == pytest.approx(10 * np.sqrt(10 / 6), rel=0.05)
    assert GroundSet.from_distances(gkd(30, dimension=2).distances).is_metric


def test_mdg_is_uniform():
    """Real numbers, uniform in [0, 10): no metric."""
    draws = mdg(60, seed=0).distances[np.triu_indices(60, 1)]
    assert kstest(draws / 10, "uniform").pvalue > 0.01
    assert not GroundSet.from_distances(mdg(60).distances).is_metric


def test_som_is_whole():
    """Whole numbers 0 .. 9, each about equally often."""
    draws = som(60, seed=0).distances[np.triu_indices(60, 1)]
    values, counts = np.unique(draws, return_counts=True)
    assert values.tolist() == list(range(10))
    assert counts.min() > 0.07 * len(draws)


def test_the_customary_budget():
    """A tenth of the points but at least two, unless the caller says otherwise."""
    assert gkd(500).k == 50
    assert mdg(10).k == 2
    assert som(30, k=7).k == 7
    with pytest.raises(ValueError, match="k must be between 0 and n = 10, got 11"):
        gkd(10, k=11)
    with pytest.raises(ValueError, match="n must be >= 2, got 1"):
        gkd(1)


@pytest.mark.parametrize("make", MDPLIB.values(), ids=MDPLIB.keys())
def test_files_keep_every_bit(tmp_path, make):
    """What is written is read back: the same float64 distances and the same budget."""
    instance = make(17, 2, k=5)
    write_mdplib(instance, tmp_path / "one.txt")
    back = read_mdplib(str(tmp_path / "one.txt"))
    assert back.distances.tobytes() == instance.distances.tobytes()
    assert (back.name, back.k, back.n) == ("one", 5, 17)


def test_features_are_written_as_cosine_distances(tmp_path):
    """Tokens go into the format by their distances, under the budget the caller gives."""
    tokens = gaussian(8, 4)
    write_mdplib(tokens, tmp_path / "tokens.txt", k=3)
    back = read_mdplib(tmp_path / "tokens.txt")
    np.testing.assert_array_equal(back.distances, tokens.problem("max-min", 3).distances)
    with pytest.raises(ValueError, match="has no customary budget; give k between 1 and 8"):
        write_mdplib(tokens, tmp_path / "tokens.txt")
    with pytest.raises(ValueError, match="k must be between 1 and 8, got 9"):
        write_mdplib(tokens, tmp_path / "tokens.txt", k=9)
    with pytest.raises(ValueError, match="at least 2 tokens, got 1"):
        write_mdplib(gaussian(1, 4), tmp_path / "tokens.txt", k=1)


def test_loose_files_are_read(tmp_path):
    """Blank lines, both directions of a pair, a zero diagonal and any white space are all legal."""
    path = tmp_path / "loose.txt"
    path.write_text("\n 3\t2 \n0 1 1.5\n1 0 1.5\n\n2 2 0\n 0 2 2e0\n2   1 0.25\n\n")
    assert read_mdplib(path).distances.tolist() == [[0, 1.5, 2], [1.5, 0, 0.25], [2, 0.25, 0]]


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", 1, "expected 'n k'"),
        ("3\n", 1, "expected 'n k'"),
        ("3 2 1\n", 1, "expected 'n k'"),
        ("3.0 2\n", 1, "expected 'n k'"),
        ("1 1\n", 1, "expected 'n k'"),
        ("3 4\n", 1, "1 <= k <= n, got '3 4'"),
        ("3 2\n0 1 1\n0 2 1\n", 3, "expected 3 lines 'i j d', one for each pair, got 2"),
        ("99999999 5\n0 1 1\n", 2, "one for each pair, got 1"),
        ("3 2\n0 1 1\n0 2 x\n1 2 1\n", 3, "expected 'i j d' with i and j in 0 .. 2 and a finite d >= 0, got '0 2 x'"),
        ("3 2\n0 1 1\n\n0 3 1\n1 2 1\n", 4, "expected 'i j d'"),
        ("3 2\n0 1 1\n0 2 -1\n1 2 1\n", 3, "expected 'i j d'"),
        ("3 2\n0 1 1\n0 2 nan\n1 2 1\n", 3, "expected 'i j d'"),
        ("3 2\n0 1 1\n0 2 inf\n1 2 1\n", 3, "expected 'i j d'"),
        ("3 2\n0 1 1\n0 2\n1 2 1\n", 3, "expected 'i j d'"),
        ("3 2\n0 1 1\n1 1 3\n1 2 1\n", 3, "expected 'i j d'"),
        ("3 2\n0 1 1\n0 1 2\n0 2 1\n1 2 1\n", 3, "expected the distance 1 of pair (0, 1) again, got 2"),
        ("3 2\n0 1 1\n0 2 1\n0 2 1\n", 4, "expected a line for pair (1, 2) before the end, got none"),
    ],
)
def test_wrong_files_name_the_line(tmp_path, text, line, expected):
    """One sentence: the file, the line, what was expected there."""
    path = tmp_path / "wrong.txt"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        read_mdplib(path)
    message = str(error.value)
    assert message.startswith(f"{path}, line {line}: expected")
    assert expected in message
    assert "\n" not in message


def test_missing_and_binary_files(tmp_path):
    """No file, and a file that is no text, are named as such."""
    with pytest.raises(FileNotFoundError, match=r"no MDPLIB file at .*none\.txt"):
        read_mdplib(tmp_path / "none.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match=r"binary\.txt is not a text file"):
        read_mdplib(tmp_path / "binary.txt")
