"""What napari finds of the plugin, and at what cost."""

import subprocess
import sys
from pathlib import Path

import pytest
from npe2 import PluginManager, PluginManifest

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "src" / "napari_breast_ai" / "napari.yaml"


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


@pytest.fixture(scope="module")
def plugins(manifest: PluginManifest) -> PluginManager:
    manager = PluginManager(disable=["napari"])
    manager.register(manifest)
    return manager


def test_every_name_imports_and_the_link_is_the_manifest(manifest: PluginManifest) -> None:
    manifest.validate_imports()
    assert (ROOT / "napari.yaml").read_text() == MANIFEST.read_text()


def test_npe2_finds_nothing_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", str(MANIFEST)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_finding_the_plugin_and_its_docks_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from npe2 import PluginManifest\n"
        f"PluginManifest.from_file({str(MANIFEST)!r}).validate_imports()\n"
        "heavy = sorted({'torch', 'torchvision', 'scipy', 'pydicom'} & set(sys.modules))\n"
        "sys.exit(f'loaded: {heavy}' if {'torch', 'torchvision', 'pydicom'} & set(heavy) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "a.dcm",
        "A.DCM",
        "b.ima",
        "study.zip",
        "case_0000.nii.gz",
        "case.nii",
        "a.nrrd",
        "a.mha",
        "I1",
        "IM0001",
        "00000012",
        "1.2.840.113619.2.5.1762583153.215519.978957063.78",
        "MR.1.2.840.10008.5.1",
    ],
)
def test_files_that_napari_offers_us(plugins: PluginManager, name: str) -> None:
    assert [reader.plugin_name for reader in plugins.iter_compatible_readers([name])] == ["napari-breast-ai"]


@pytest.mark.parametrize(
    "name", ["photo.png", "a.tif", "movie.mp4", "data.h5", "x.jp2", "notes.txt", "README", "a.zarr"]
)
def test_files_that_are_not_ours_bring_no_question(plugins: PluginManager, name: str) -> None:
    assert list(plugins.iter_compatible_readers([name])) == []


def test_folders_are_offered(plugins: PluginManager, tmp_path: Path) -> None:
    assert [one.plugin_name for one in plugins.iter_compatible_readers([tmp_path])] == ["napari-breast-ai"]


def test_samples_and_widgets(plugins: PluginManager) -> None:
    ((name, samples),) = plugins.iter_sample_data()
    assert name == "napari-breast-ai"
    assert [sample.key for sample in samples] == ["phantom-igm", "phantom-nme"]
    assert [widget.display_name for widget in plugins.iter_widgets()] == [
        "Cases",
        "Annotate",
        "Review",
        "Kinetics",
        "Train",
    ]
