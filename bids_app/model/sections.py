"""What can be chosen in the sections of the settings around the pipeline from phase to map (``qsm.options``)."""

import os
from dataclasses import dataclass

from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class SegmentationChoices(Params):
    """Which segmentations there are; decided before the first step, and no step's parameter."""

    which: tuple[str, ...] = param(
        ("auto",), doc="auto, none, or a list of: fastsurfer, atlas, patterns of existing files"
    )
    atlas: str = param("", doc="Folder of an atlas or name of a TemplateFlow template, :SEGMENTATION after it")
    extra: tuple[str, ...] = param(
        (), separator=os.pathsep, doc="Patterns of further segmentations, lesions for example"
    )
    fastsurfer_home: str = param("", doc="Folder of run_fastsurfer.sh")
    derivatives: tuple[str, ...] = param(
        (), separator=os.pathsep, doc="Folders where existing segmentations are looked for"
    )


@dataclass(frozen=True)
class BrainExtractionChoices(Params):
    """A program of others that finds the brain, in place of the surface model."""

    program: str = param(
        "", doc="synthstrip, hd-bet, fsl-bet, or a command line with {image} and {mask}; it stands for bet in recipes"
    )


@dataclass(frozen=True)
class FastSurferChoices(Params):
    """FastSurfer's own options."""

    device: str = param("auto", choices=("auto", "cpu", "cuda"), doc="Where the network runs")
    viewagg_device: str = param("auto", choices=("auto", "cpu", "cuda"), doc="Where its views are put together")
    vox_size: str = param("1", choices=("1", "0.9", "0.8", "0.7", "min"), doc="Voxel size of the conformed image, mm")
    python: str = param("", doc="FastSurfer's Python, as in its --py (empty: FASTSURFER_PYTHON, its venv, or its own)")


@dataclass(frozen=True)
class RegistrationChoices(Params):
    """T1w to gradient echo, and atlas to T1w (or to the gradient echo where there is no T1w)."""

    t1w_to_gre: str = param("rigid", choices=("rigid", "affine", "syn"), doc="Transform of T1w to gradient echo")
    resolution: float = param(2.0, low=0.5, high=8, unit="mm", doc="Voxels of the linear stages")
    atlas: str = param("syn", choices=("syn", "affine"), doc="Transform of the atlas")
    syn_resolution: float = param(1.5, low=0.5, high=8, unit="mm", doc="Voxels of SyN's finest level")
    syn_coarse: int = param(60, low=0, high=1000, doc="SyN's iterations on voxels 4 times as large")
    syn_middle: int = param(20, low=0, high=1000, doc="SyN's iterations on voxels twice as large")
    syn_fine: int = param(4, low=0, high=1000, doc="SyN's iterations on the finest level")


@dataclass(frozen=True)
class RegionsChoices(Params):
    """Tables of regions."""

    erosion: int = param(0, low=0, high=20, unit="voxel", doc="Erosion of every region before its statistics")


@dataclass(frozen=True)
class QcChoices(Params):
    """Expected ranges of the metrics for quality control: what is outside is flagged and reported, never removed."""

    snr_min: float = param(15.0, low=0, high=1e6, doc="Lowest SNR of the first echo")
    snr_last_min: float = param(5.0, low=0, high=1e6, doc="Lowest SNR of the last echo")
    drift_max: float = param(1.0, low=0, high=1e6, unit="Hz", doc="Largest change of the mean field between echoes")
    ghost_max: float = param(0.03, low=0, high=1e6, doc="Largest ghost, relative to the object's signal")
    unreliable_max: float = param(0.25, low=0, high=1, doc="Largest part of unreliable voxels")
    wraps_max: float = param(0.02, low=0, high=1, doc="Largest part of pairs of neighbours with a wrap between")
    error_max: float = param(0.01, low=0, high=1e6, unit="ppm", doc="Largest median standard error of the field")
    residual_max: float = param(0.25, low=0, high=1e6, unit="rad", doc="Largest median residual of the field fit")
    correlation_max: float = param(0.7, low=0, high=1, doc="Largest correlation of neighbours' residuals")
    boundary_max: float = param(
        3.0, low=0, high=1e6, doc="Largest spread of the local field at the mask boundary over the core's"
    )
    streak_max: float = param(
        2.0, low=0, high=1e6, doc="Largest power of the map in the cone, relative to the power next to it"
    )
    spread_min: float = param(0.005, low=0, high=1e6, unit="ppm", doc="Lowest spread of the map")
    spread_max: float = param(0.15, low=0, high=1e6, unit="ppm", doc="Largest spread of the map")
    volume_min: float = param(600.0, low=0, high=1e6, unit="ml", doc="Smallest brain mask, less in a slab")
    volume_max: float = param(2300.0, low=0, high=1e6, unit="ml", doc="Largest brain mask")
    pieces_max: float = param(1.0, low=0, high=1e6, doc="Most connected pieces of the brain mask")
    roughness_max: float = param(0.2, low=0, high=1e6, doc="Largest roughness of the brain mask's boundary")
    valid_min: float = param(0.7, low=0, high=1, doc="Smallest part of the mask with a valid map")
    similarity_min: float = param(1.03, low=1, high=2, doc="Lowest mutual information of magnitude and T1w")
    r2prime_negative_max: float = param(0.1, low=0, high=1, doc="Largest part of voxels with R2* below R2")
    r2prime_valid_min: float = param(0.75, low=0, high=1, doc="Smallest part of the mask with a valid R2'")
    separation_residual_max: float = param(
        0.5, low=0, high=1e6, doc="Largest residual of the source separation, relative to R2'"
    )


@dataclass(frozen=True)
class StatisticsChoices(Params):
    """Statistics of the group's regional values."""

    model: str = param("", doc="Model of every region, e.g. 'chi ~ age + sex + group'; empty: descriptive tables only")
    small_groups: bool = param(False, doc="Whether fewer than 10 participants may be modelled")
    confidence: float = param(0.95, low=0.5, high=0.9999, doc="Confidence of the intervals")
    fdr: float = param(0.05, low=1e-6, high=0.5, doc="False discovery rate over regions")
    outlier_z: float = param(3.5, low=1, high=100, doc="Robust z beyond which a region of a run is flagged")


@dataclass(frozen=True)
class VoxelwiseChoices(Params):
    """Model of every voxel (the formula is statistics.model)."""

    run: bool = param(False, doc="Fit the model to every voxel of the maps in the common space")
    smoothing: float = param(2.0, low=0, high=30, unit="mm", doc="Full width at half maximum of a Gaussian; 0 none")
    permutations: int = param(0, low=0, high=1_000_000, doc="Permutations for the family-wise error rate; 0 Bonferroni")
    seed: int = param(20240117, low=0, high=2**31 - 1, doc="Where the permutations start")
    fdr: float = param(0.05, low=1e-6, high=0.5, doc="False discovery rate over voxels")
    fwe: float = param(0.05, low=1e-6, high=0.5, doc="Family-wise error rate over voxels")


@dataclass(frozen=True)
class GroupChoices(Params):
    """Which template there is; decided before the first step, and no step's parameter."""

    template: str = param("build", doc="build, none, a template's folder, or a name of TemplateFlow")
    name: str = param("study", doc="Name of the template that is built, in file names (letters and digits)")
    linear_iterations: int = param(2, low=1, high=20, doc="Iterations with linear maps (the first one rigid)")
    syn_iterations: int = param(3, low=0, high=50, doc="Iterations with SyN")
    single_pass: bool = param(
        True, doc="Average of one affine registration each, which the iterations are compared with"
    )
    output_space: str = param("", doc="Template of TemplateFlow, :res-N after it, that the maps are brought to too")
    dseg: str = param("", doc="Manual segmentation of the template")
    labels: str = param("", doc="Its labels' names: a TSV with index and name, or ITK-SNAP's label description")


@dataclass(frozen=True)
class TemplateChoices(Params):
    """How the template is built and participants are registered to it."""

    resolution: float = param(1.0, low=0.3, high=10, unit="mm", doc="Voxels of the template and the maps in its space")
    registration_resolution: float = param(2.0, low=0.5, high=10, unit="mm", doc="Voxels of all registrations")
    magnitude_weight: float = param(0.5, low=0, high=100, doc="Magnitude's weight against the T1w's 1 in SyN")
    sharpening: float = param(0.0, low=0, high=5, doc="Unsharp mask of each average; 0 none")
    syn_coarse: int = param(60, low=0, high=1000, doc="SyN's iterations on voxels 4 times as large")
    syn_middle: int = param(30, low=0, high=1000, doc="SyN's iterations on voxels twice as large")
    syn_fine: int = param(10, low=0, high=1000, doc="SyN's iterations on the finest level")


@dataclass(frozen=True)
class ReportChoices(Params):
    """Pages that people look at."""

    viewer: bool = param(True, doc="Interactive viewer in the page of every subject (about 1 MB and the map itself)")
