"""Works on anatomy, templates, statistics and software."""

from bids_app.report.reference import Reference

_NI = "NeuroImage"
WORKS = (
    Reference(
        "gorgolewski2016", "Gorgolewski KJ, Auer T, Calhoun VD, others", 2016,
        "The brain imaging data structure, a format for organizing and describing outputs of neuroimaging "
        "experiments",
        "Scientific Data", "3:160044", "10.1038/sdata.2016.44",
    ),
    Reference(
        "tustison2010", "Tustison NJ, Avants BB, Cook PA, Zheng Y, Egan A, Yushkevich PA, Gee JC", 2010,
        "N4ITK: Improved N3 bias correction", "IEEE Transactions on Medical Imaging", "29(6):1310-1320",
        "10.1109/TMI.2010.2046908",
    ),
    Reference(
        "avants2008", "Avants BB, Epstein CL, Grossman M, Gee JC", 2008,
        "Symmetric diffeomorphic image registration with cross-correlation: Evaluating automated labeling of "
        "elderly and neurodegenerative brain",
        "Medical Image Analysis", "12(1):26-41", "10.1016/j.media.2007.06.004",
    ),
    Reference(
        "avants2011", "Avants BB, Tustison NJ, Song G, Cook PA, Klein A, Gee JC", 2011,
        "A reproducible evaluation of ANTs similarity metric performance in brain image registration",
        _NI, "54(3):2033-2044", "10.1016/j.neuroimage.2010.09.025",
    ),
    Reference(
        "henschel2020", "Henschel L, Conjeti S, Estrada S, Diers K, Fischl B, Reuter M", 2020,
        "FastSurfer - A fast and accurate deep learning based neuroimaging pipeline",
        _NI, "219:117012", "10.1016/j.neuroimage.2020.117012",
    ),
    Reference(
        "avants2010", "Avants BB, Yushkevich P, Pluta J, Minkoff D, Korczykowski M, Detre J, Gee JC", 2010,
        "The optimal template effect in hippocampus studies of diseased populations",
        _NI, "49(3):2457-2466", "10.1016/j.neuroimage.2009.09.062",
    ),
    Reference(
        "liang1986", "Liang KY, Zeger SL", 1986,
        "Longitudinal data analysis using generalized linear models",
        "Biometrika", "73(1):13-22", "10.1093/biomet/73.1.13",
    ),
    Reference(
        "benjamini1995", "Benjamini Y, Hochberg Y", 1995,
        "Controlling the false discovery rate: A practical and powerful approach to multiple testing",
        "Journal of the Royal Statistical Society: Series B (Methodological)", "57(1):289-300",
        "10.1111/j.2517-6161.1995.tb02031.x",
    ),
    Reference(
        "laird1982", "Laird NM, Ware JH", 1982,
        "Random-effects models for longitudinal data", "Biometrics", "38(4):963-974", "10.2307/2529876",
    ),
    Reference(
        "leys2013", "Leys C, Ley C, Klein O, Bernard P, Licata L", 2013,
        "Detecting outliers: Do not use standard deviation around the mean, use absolute deviation around the median",
        "Journal of Experimental Social Psychology", "49(4):764-766", "10.1016/j.jesp.2013.03.013",
    ),
    Reference(
        "gorgolewski2017", "Gorgolewski KJ, Alfaro-Almagro F, Auer T, others", 2017,
        "BIDS apps: Improving ease of use, accessibility, and reproducibility of neuroimaging data analysis methods",
        "PLoS Computational Biology", "13(3):e1005209", "10.1371/journal.pcbi.1005209",
    ),
    Reference(
        "ciric2022", "Ciric R, Thompson WH, Lorenz R, others", 2022,
        "TemplateFlow: FAIR-sharing of multi-scale, multi-species brain models",
        "Nature Methods", "19(12):1568-1571", "10.1038/s41592-022-01681-2",
    ),
    Reference(
        "studholme1999", "Studholme C, Hill DLG, Hawkes DJ", 1999,
        "An overlap invariant entropy measure of 3D medical image alignment",
        "Pattern Recognition", "32(1):71-86", "10.1016/S0031-3203(98)00091-0",
    ),
    Reference(
        "klein2012", "Klein A, Tourville J", 2012,
        "101 labeled brain images and a consistent human cortical labeling protocol",
        "Frontiers in Neuroscience", "6:171", "10.3389/fnins.2012.00171",
    ),
    Reference(
        "guimond2000", "Guimond A, Meunier J, Thirion JP", 2000,
        "Average brain models: A convergence study",
        "Computer Vision and Image Understanding", "77(2):192-210", "10.1006/cviu.1999.0815",
    ),
    Reference(
        "schluchter1990", "Schluchter MD, Elashoff JT", 1990,
        "Small-sample adjustments to tests with unbalanced repeated measures assuming several covariance structures",
        "Journal of Statistical Computation and Simulation", "37(1-2):69-87", "",
    ),
    Reference(
        "freedman1983", "Freedman D, Lane D", 1983,
        "A nonstochastic interpretation of reported significance levels",
        "Journal of Business and Economic Statistics", "1(4):292-298", "10.2307/1391660",
    ),
    Reference(
        "nichols2002", "Nichols TE, Holmes AP", 2002,
        "Nonparametric permutation tests for functional neuroimaging: A primer with examples",
        "Human Brain Mapping", "15(1):1-25", "10.1002/hbm.1058",
    ),
    Reference(
        "abraham2014", "Abraham A, Pedregosa F, Eickenberg M, others", 2014,
        "Machine learning for neuroimaging with scikit-learn",
        "Frontiers in Neuroinformatics", "8:14", "10.3389/fninf.2014.00014",
    ),
    Reference(
        "kabsch1976", "Kabsch W", 1976,
        "A solution for the best rotation to relate two sets of vectors",
        "Acta Crystallographica Section A", "32(5):922-923", "10.1107/S0567739476001873",
    ),
)  # fmt: skip
