"""Columns of the tables of regions: the BIDS data dictionary that goes with every one of them."""

from collections.abc import Mapping

from bids_app.derivatives import quality

#: BIDS data dictionary: what is said of each column (``Description``, ``Units``, ``Levels``).
Dictionary = dict[str, Mapping[str, object]]

_STATISTICS = {
    "mean": "Mean of {}",
    "std": "Standard deviation of {} (sample: divided by n - 1)",
    "median": "Median of {}",
    "mad": "Median absolute deviation of {} from its median (not scaled)",
    "min": "Minimum of {}",
    "max": "Maximum of {}",
    "p05": "5th percentile of {}",
    "p95": "95th percentile of {}",
}
_MAPS = {
    "chi": ("magnetic susceptibility", "ppm"),
    "r2star": ("the transverse relaxation rate R2*", "1/s"),
    "r2prime": ("the reversible relaxation rate R2'", "1/s"),
    "chi_paramagnetic": ("the susceptibility of paramagnetic sources", "ppm"),
    "chi_diamagnetic": ("the susceptibility of diamagnetic sources (negative)", "ppm"),
}


def _columns() -> Dictionary:
    columns: Dictionary = {
        "index": {"Description": "Value of the label in the segmentation"},
        "name": {"Description": "Name of the region, without its side"},
        "hemisphere": {"Description": "Side", "Levels": {"L": "left", "R": "right"}},
        "volume_mm3": {"Description": "Volume of the whole region, before erosion and mask", "Units": "mm^3"},
        "region_voxels": {"Description": "Voxels of the whole region"},
        "voxels": {"Description": "Voxels that the statistics are made of: after erosion, inside the valid mask"},
        "valid_fraction": {"Description": "Part of the whole region that lies inside the valid mask, 0 to 1"},
        "erosion_voxels": {"Description": "Voxels by which the region was eroded (faces) before the statistics"},
    }
    for name, (what, unit) in _MAPS.items():
        for statistic, text in _STATISTICS.items():
            columns[f"{name}_{statistic}"] = {"Description": text.format(what), "Units": unit}
    return columns


#: One row for every region of a run; the group's tables start with the run's entities.
REGION_COLUMNS: Dictionary = _columns()

_KEYS: Dictionary = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session; n/a where there are none"},
    "run": {"Description": "Gradient-echo run: all entities of its images"},
}
_REGION: Dictionary = {name: REGION_COLUMNS[name] for name in ("index", "name", "hemisphere")}
#: Only in tables of a manual segmentation of the template (``--group-dseg``): each region is measured twice.
SPACE: Dictionary = {
    "space": {
        "Description": "Where the region is measured",
        "Levels": {
            "native": "on the run's own map, the labels brought there",
            "template": "on the map in the space of the template",
        },
    }
}
#: One row for every region of a run and space.
MANUAL_COLUMNS: Dictionary = SPACE | REGION_COLUMNS
_MEASURE: Mapping[str, object] = {
    "Description": "Column of the table of regions: chi in ppm, r2star and r2prime in 1/s, volume in mm^3"
}
#: What the list of participants says of a run.
STATUS: dict[str, object] = {
    "Description": "Whether the run is in the group, and why not",
    "Levels": {
        "found": "complete",
        "incomplete": "some products are missing",
        "changed": "files differ from their records, or were made from earlier files",
        "failed": "no map, a step failed",
        "missing": "nothing was made",
        "no data": "no gradient echo with phase in the dataset",
        "excluded": "left out, because somebody rated it so",
        "not in the dataset": "left out, because the dataset has no images of it any more",
    },
}
#: Who is in the group.
COHORT_COLUMNS: Dictionary = _KEYS | {
    "status": STATUS,
    "reason": {"Description": "Why it is not found"},
    "rating": {
        "Description": "Rating by a person, from the report or --ratings; n/a: not rated",
        "Levels": {"good": "good", "usable": "usable", "exclude": "left out of all tables, maps and models"},
    },
    "note": {"Description": "Note of the person who rated the run"},
}
#: One row for every run; one column for every echo's SNR first (``snr_echo1`` ...), as many as the runs have.
QC_COLUMNS: Dictionary = _KEYS | {
    "status": STATUS,
    **quality.columns(0),
    "flags": {"Description": "Metrics out of their expected range, separated by semicolons; nothing is removed"},
}
#: Every region and measure over all runs.
DESCRIPTIVE_COLUMNS: Dictionary = (
    SPACE
    | _REGION
    | {
        "measure": _MEASURE,
        "runs": {"Description": "Runs that have a value"},
        "runs_without": {"Description": "Runs whose table has no value"},
        "participants": {"Description": "Participants that have a value"},
        "mean": {"Description": "Mean over runs, in the unit of the measure"},
        "std": {"Description": "Standard deviation over runs (sample)"},
        "df": {"Description": "Degrees of freedom of the standard deviation: runs with a value, less 1"},
        "median": {"Description": "Median over runs"},
        "min": {"Description": "Smallest value"},
        "max": {"Description": "Largest value"},
    }
)
#: One row for every run and measure.
OUTLIER_COLUMNS: Dictionary = (
    _KEYS
    | SPACE
    | {
        "measure": _MEASURE,
        "regions": {"Description": "Regions whose distance is known (five runs at least have them)"},
        "regions_flagged": {"Description": "Regions whose robust z is beyond the threshold (statistics.outlier_z)"},
        "flagged": {"Description": "Whether any is; nothing is removed"},
        "worst_region": {"Description": "Region with the largest distance"},
        "worst_z": {
            "Description": "Its robust z: distance from the median over 1.4826 times the median absolute deviation"
        },
        "registration_similarity": {"Description": "Mutual information of magnitude and T1w image after registration"},
    }
)
#: One row for every region and term.
MODEL_COLUMNS: Dictionary = (
    SPACE
    | _REGION
    | {
        "term": {"Description": "Coefficient of the model"},
        "estimate": {"Description": "Its value, in the unit of the response for each unit of the term"},
        "ci_low": {"Description": "Lower end of its confidence interval"},
        "ci_high": {"Description": "Upper end of its confidence interval"},
        "t": {"Description": "Estimate over its standard error"},
        "df": {"Description": "Degrees of freedom of t (mixed model: between or within participants)"},
        "p": {"Description": "Two-sided p value"},
        "p_fdr": {"Description": "p value adjusted over all regions (Benjamini and Hochberg)"},
        "significant": {"Description": "Whether p_fdr is below the false discovery rate (statistics.fdr)"},
        "effect_sd": {"Description": "Estimate in standard deviations of the residuals (of a difference: Cohen's d)"},
        "partial_r": {"Description": "Partial correlation"},
        "observations": {"Description": "Runs that the model is made of"},
        "participants": {"Description": "Participants that the model is made of"},
        "method": {"Description": "ols, or mixed: random intercept of every participant, REML"},
        "note": {"Description": "Why there is no model"},
    }
)
#: One row for every average of the template.
CONVERGENCE_COLUMNS: Dictionary = {
    "iteration": {"Description": "Average; 0 is that of the centres of mass, n/a the one to compare with"},
    "kind": {
        "Description": "Maps that it is made of: start, rigid, affine or syn; single: one affine registration of each "
        "participant to the first average, without iterations and mean shape"
    },
    "participants": {"Description": "Participants in it"},
    "sharpness": {"Description": "Gradient energy over energy of the average", "Units": "1/mm^2"},
    "overlap": {
        "Description": "Dice overlap of the participants' labels over all pairs and labels, weighted by volume"
    },
    "shape_update_mm": {"Description": "Mean displacement of the head by the inverse of the mean shape", "Units": "mm"},
    "sharpness_to_single": {"Description": "Sharpness over that of the single affine pass"},
    "overlap_to_single": {"Description": "Overlap minus that of the single affine pass"},
}
#: How well every run fits the average in a space.
REGISTRATION_COLUMNS: Dictionary = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session"},
    "run": {"Description": "Run: entities of its images"},
    "correlation": {"Description": "Correlation of its magnitude with the mean of the others' in the group's mask"},
    "mask_overlap": {"Description": "Dice overlap of its mask with the group's"},
    "correlation_z": {"Description": "Robust z of the correlation over the runs; n/a below five runs"},
    "mask_overlap_z": {"Description": "Robust z of the mask's overlap over the runs; n/a below five runs"},
    "flagged": {"Description": "true if one of them is far below the others'; nothing is removed"},
}
_VOXELWISE: Dictionary = {
    "contrast": {"Description": "Entity contrast of its maps: the model's term in letters and digits"},
    "volume": {"Description": "Volume of the maps that is this coefficient, counted from 0"},
    "term": {"Description": "Coefficient of the model"},
}
_PEAK: Dictionary = {
    "peak_t": {"Description": "t of largest size"},
    "peak_x": {"Description": "Where it is, from left to right", "Units": "mm"},
    "peak_y": {"Description": "Where it is, from back to front", "Units": "mm"},
    "peak_z": {"Description": "Where it is, from bottom to top", "Units": "mm"},
}
#: One row for every coefficient of the voxel-wise model.
VOXELWISE_COLUMNS: Dictionary = (
    _VOXELWISE
    | {
        "response": {"Description": "Map that is explained: chi in ppm, or r2star in 1/s"},
        "participants": {"Description": "Participants that the model is made of"},
        "df": {"Description": "Degrees of freedom of t"},
        "voxels": {"Description": "Voxels that are tested: of the group's mask, those where everybody has a value"},
        "fdr_level": {"Description": "False discovery rate (voxelwise.fdr)"},
        "fdr_threshold": {"Description": "Smallest size of t that is significant by it; n/a where none is"},
        "fdr_voxels": {"Description": "Voxels that are significant by it"},
        "fwe_level": {"Description": "Family-wise error rate (voxelwise.fwe)"},
        "fwe_method": {"Description": "bonferroni, or permutation: largest t of each permutation (Freedman and Lane)"},
        "permutations": {"Description": "Permutations; 0: none"},
        "fwe_threshold": {"Description": "Size of t beyond which a voxel is significant by it"},
        "fwe_voxels": {"Description": "Voxels that are significant by it"},
    }
    | _PEAK
)
#: One row for every cluster of voxels (26 neighbours, one sign) of the thresholded maps.
CLUSTER_COLUMNS: Dictionary = (
    _VOXELWISE
    | {
        "correction": {"Description": "fdr or fwe: the thresholded map"},
        "df": {"Description": "Degrees of freedom of t"},
        "cluster": {"Description": "Number of the cluster, the largest first"},
        "voxels": {"Description": "Its size in voxels"},
        "volume_mm3": {"Description": "Its size", "Units": "mm^3"},
        "region": {"Description": "Region of the template's segmentation that holds most of it; n/a where none does"},
        "region_fraction": {"Description": "Part of the cluster in that region, 0 to 1"},
    }
    | _PEAK
)

#: Columns of the look-up table that goes with every segmentation.
LOOKUP_COLUMNS: Dictionary = {
    "index": {"Description": "Value of the label in the image"},
    "name": {"Description": "Name of the region"},
    "hemisphere": {"Description": "Side: L left, R right"},
}

#: The dictionaries by the names that the table of products uses.
COLUMNS: Mapping[str, Dictionary] = {
    "cluster": CLUSTER_COLUMNS,
    "cohort": COHORT_COLUMNS,
    "convergence": CONVERGENCE_COLUMNS,
    "descriptive": DESCRIPTIVE_COLUMNS,
    "lookup": LOOKUP_COLUMNS,
    "manual": MANUAL_COLUMNS,
    "model": MODEL_COLUMNS,
    "outlier": OUTLIER_COLUMNS,
    "qc": QC_COLUMNS,
    "region": REGION_COLUMNS,
    "registration": REGISTRATION_COLUMNS,
    "voxelwise": VOXELWISE_COLUMNS,
}
