"""Names of instances."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from mmdp.instances import (
    describe,
    gaussian,
    gkd,
    list_names,
    load,
    photo_features,
    photos,
    pictures,
    save_tokens,
    tight,
    write_mdplib,
)
from mmdp.instances.instance import Instance

PHOTO_PACKAGES = find_spec("skimage") is not None and find_spec("sklearn") is not None


# every photo once, and every other name
LISTED = [name for name in list_names() if not name.startswith("photo/") or name.endswith("/daisy") or "astro" in name]


@pytest.mark.parametrize("name", LISTED)
def test_every_listed_name_loads_under_its_own_name(name):
    """The list holds no dead entry, and an instance knows the name that loads it."""
    if name.startswith("photo") and not PHOTO_PACKAGES:
        pytest.skip("photos need scikit-image and scikit-learn")
    instance = load(name)
    assert instance.name == name
    assert instance.n > 0


def test_names_are_unique():
    """No name stands for two things."""
    names = list_names()
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("gaussian/20x4", "gaussian/20x4/0"),
        ("gaussian/20x4/7", "gaussian/20x4/7"),
        ("clustered/20x4x3", "clustered/20x4x3/0"),
        ("duplicates/20x4x3/2", "duplicates/20x4x3/2"),
        ("mdplib/som/12", "mdplib/som/12/0"),
        ("mdplib/mdg/12/5", "mdplib/mdg/12/5"),
        ("tight/max-min/9", "tight/max-min/9"),
    ],
)
def test_sizes_and_seeds_are_read_from_the_name(short, full):
    """What may be left out has its default, and the full name loads the same bits."""
    first, again = load(short), load(full)
    assert first.name == again.name == full
    for part in ("features", "distances"):
        if getattr(first, part) is not None:
            np.testing.assert_array_equal(getattr(first, part), getattr(again, part))


def test_photo_names():
    """With a size the photo is sub-sampled, with all 576 it keeps its grid."""
    if not PHOTO_PACKAGES:
        pytest.skip("photos need scikit-image and scikit-learn")
    assert load("photo/china/pcah/50").name == "photo/china/pcah/50/0"
    assert load("photo/china/pcah/50/2").n == 50
    assert load("photo/china/pcah/576").grid == (24, 24)
    assert load("photo/china/daisy/24x24").name == "photo/china/daisy"
    assert load("photo/china/daisy/30x30/2").name == "photo/china/daisy/30x30/2"
    assert load("photos/3/daisy/1").name == "photos/3/daisy/1"


def test_names_reach_the_builders():
    """A name and the call it stands for give the same instance."""
    np.testing.assert_array_equal(load("gaussian/30x5/2").features, gaussian(30, 5, 2).features)
    np.testing.assert_array_equal(load("mdplib/gkd/30/2").distances, gkd(30, 2).distances)
    np.testing.assert_array_equal(load("tight/max-min-line/3").distances, tight("max-min-line", 3).instance.distances)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gausian/100x64", "unknown instance 'gausian/100x64'; did you mean 'gaussian/100x64/0'?"),
        ("photo/astronut/pca", "did you mean 'photo/astronaut/pca'?"),
        ("photo/astronaut/vit", "its names look like photo/<astronaut|"),
        ("photo/astronaut", "did you mean 'photo/astronaut/"),
        ("photo/astronaut/pca/all", "its names look like photo/<astronaut|"),
        ("photo/astronaut/pca/10/0/0", "its names look like photo/<astronaut|"),
        ("photo/astronaut/pca/48x24", "its names look like photo/<astronaut|"),
        ("photos/astronaut/pca", "its names look like photos/<count>/<pca|"),
        ("photos/16/pca", "count must be between 2 and 15, got 16"),
        ("gaussian/100", "its names look like gaussian/<n>x<d>[/<seed>]"),
        ("gaussian", "its names look like gaussian/<n>x<d>[/<seed>]"),
        ("gaussian/100x64/-1", "its names look like gaussian/<n>x<d>[/<seed>]"),
        ("gaussian/100x64/0/1", "its names look like gaussian/<n>x<d>[/<seed>]"),
        ("gaussian/²x64", "its names look like gaussian/<n>x<d>[/<seed>]"),
        ("clustered/100x64", "its names look like clustered/<n>x<d>x<clusters>[/<seed>]"),
        ("mdplib/gdk/100", "did you mean 'mdplib/gkd/1"),
        ("mdplib/gkd", "its names look like mdplib/<gkd|mdg|som>/<n>[/<seed>]"),
        ("tight/min-max/6", "its names look like tight/<max-min|"),
        ("tight/max-min", "its names look like tight/<max-min|"),
        ("tokens.npz", "unknown instance 'tokens.npz'"),
        ("", "unknown instance ''"),
        ("gaussian/0x4", "n must be >= 1, got 0"),
        ("duplicates/3x4x5", "distinct must be between 1 and 3, got 5"),
        ("tight/conditional-dpp/5", "k must be one of 2, 4, 8, got 5"),
    ],
)
def test_wrong_names(name, message):
    """One line: the nearest name, the pattern of the family, or the range of the size."""
    with pytest.raises(ValueError) as error:
        load(name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_are_loaded_by_their_ending(tmp_path, monkeypatch):
    """A .safetensors or .txt path is a file, as a string or as a Path; other files are refused."""
    write_mdplib(gkd(6), tmp_path / "six.txt")
    assert load(tmp_path / "six.txt").distances.shape == (6, 6)
    if find_spec("safetensors") is not None:
        save_tokens(gaussian(6, 3), tmp_path / "six.SafeTensors")
        assert load(str(tmp_path / "six.SafeTensors")).name == "gaussian/6x3/0"
    monkeypatch.chdir(tmp_path)
    assert load("six.txt").n == 6
    with pytest.raises(FileNotFoundError, match=r"seven\.txt"):
        load("seven.txt")
    with pytest.raises(ValueError, match=r"must end in \.safetensors or \.txt, got '.*six\.npy'"):
        load(tmp_path / "six.npy")


def test_the_table_describes_every_family():
    """Each row has words in every column, and its examples begin like its pattern."""
    for row in describe():
        assert all((row.pattern, row.n, row.d, row.summary))
        head = row.pattern.split("/")[0]
        assert row.examples
        assert all(name.startswith(head + "/") for name in row.examples)
    assert sum(len(row.examples) for row in describe()) == len(list_names())


def test_a_missing_package_names_its_pip_command(monkeypatch):
    """Without scikit-image the user learns what to install."""
    pictures.square.cache_clear()
    photo_features.features.cache_clear()
    photo_features._scores.cache_clear()
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"photos need scikit-image: pip install 'mmdp\[photos\]'"):
        load("photo/astronaut/pca")


def test_unknown_photos_list_the_known():
    """Unknown photos and feature kinds are refused with the choices."""
    with pytest.raises(ValueError, match=r"photo must be one of astronaut, coffee.*got 'cat'"):
        pictures.photo("cat")
    with pytest.raises(ValueError, match=r"kind must be one of pca, pcah.*got 'clip'"):
        photos.photo_tokens("astronaut", "clip")


def test_importing_is_cheap():
    """`import mmdp.instances` loads neither the photo libraries nor safetensors."""
    script = (
        "import sys, mmdp.instances; print({'skimage', 'sklearn', 'safetensors', 'PIL', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_instances_check_image_and_budget():
    """A picture is (height, width, 3) uint8 and a customary budget lies in 0 .. n."""
    X = np.eye(3)
    with pytest.raises(ValueError, match=r"image must be \(height, width, 3\) uint8, got float64 of shape \(4, 4, 3\)"):
        Instance(name="x", features=X, image=np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"got uint8 of shape \(4, 4\)"):
        Instance(name="x", features=X, image=np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="k must be between 0 and n = 3, got 4"):
        Instance(name="x", features=X, k=4)
