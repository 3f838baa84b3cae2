"""The bibliography: every work that a method of the pipeline stands on, as a reader and as BibTeX."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One work."""

    key: str
    authors: str  # "Family A, Family B"
    year: int
    title: str
    journal: str
    where: str  # volume and pages
    doi: str

    @property
    def short(self) -> str:
        """``Family et al. 2021``."""
        names = self.authors.split(", ")
        families = [name.rpartition(" ")[0] or name for name in names]
        if len(names) == 1:
            return f"{families[0]} {self.year}"
        return (
            f"{families[0]} and {families[1]} {self.year}" if len(names) == 2 else f"{families[0]} et al. {self.year}"
        )

    @property
    def url(self) -> str:
        """The work's permanent address."""
        return f"https://doi.org/{self.doi}"

    @property
    def text(self) -> str:
        """The work as a line of a list of references."""
        authors = self.authors.replace(", others", " et al")
        return f"{authors}. {self.title}. {self.journal} {self.year};{self.where}. doi:{self.doi}"

    @property
    def bibtex(self) -> str:
        """The work as an entry of a ``.bib`` file."""
        people = " and ".join(_bibtex_name(name) for name in self.authors.split(", "))
        volume, _, pages = self.where.partition(":")
        return (
            f"@article{{{self.key},\n  author = {{{people}}},\n  title = {{{{{self.title}}}}},\n"
            f"  journal = {{{self.journal}}},\n  year = {{{self.year}}},\n  volume = {{{volume.split('(')[0]}}},\n"
            f"  pages = {{{pages.replace('-', '--')}}},\n  doi = {{{self.doi}}}\n}}\n"
        )


def _bibtex_name(name: str) -> str:
    family, _, initials = name.rpartition(" ")
    return f"{family}, {initials}" if family else name  # "others" stands alone, as BibTeX wants it


_MRM, _NI, _NBM = "Magnetic Resonance in Medicine", "NeuroImage", "NMR in Biomedicine"
_TABLE = (
    Reference(
        "bilgic2024", "Bilgic B, Costagli M, Chan KS, others", 2024,
        "Recommended implementation of quantitative susceptibility mapping for clinical research in the brain: A "
        "consensus of the ISMRM electro-magnetic tissue properties study group",
        _MRM, "91(5):1834-1862", "10.1002/mrm.30006",
    ),
    Reference(
        "gorgolewski2016", "Gorgolewski KJ, Auer T, Calhoun VD, others", 2016,
        "The brain imaging data structure, a format for organizing and describing outputs of neuroimaging experiments",
        "Scientific Data", "3:160044", "10.1038/sdata.2016.44",
    ),
    Reference(
        "dymerska2021", "Dymerska B, Eckstein K, Bachrata B, Siow B, Trattnig S, Shmueli K, Robinson SD", 2021,
        "Phase unwrapping with a rapid opensource minimum spanning tree algorithm (ROMEO)",
        _MRM, "85(4):2294-2308", "10.1002/mrm.28563",
    ),
    Reference(
        "schofield2003", "Schofield MA, Zhu Y", 2003,
        "Fast phase unwrapping algorithm for interferometric applications",
        "Optics Letters", "28(14):1194-1196", "10.1364/OL.28.001194",
    ),
    Reference(
        "eckstein2018", "Eckstein K, Dymerska B, Bachrata B, Bogner W, Poljanc K, Trattnig S, Robinson SD", 2018,
        "Computationally efficient combination of multi-channel phase data from multi-echo acquisitions (ASPIRE)",
        _MRM, "79(6):2996-3006", "10.1002/mrm.26963",
    ),
    Reference(
        "robinson2017", "Robinson SD, Bredies K, Khabipova D, Dymerska B, Marques JP, Schweser F", 2017,
        "An illustrated comparison of processing methods for MR phase imaging and QSM: combining array coil "
        "signals and "
        "phase unwrapping",
        _NBM, "30(4):e3601", "10.1002/nbm.3601",
    ),
    Reference(
        "liu2013", "Liu T, Wisnieff C, Lou M, Chen W, Spincemaille P, Wang Y", 2013,
        "Nonlinear formulation of the magnetic field to source relationship for robust quantitative susceptibility "
        "mapping",
        _MRM, "69(2):467-476", "10.1002/mrm.24272",
    ),
    Reference(
        "stewart2022", "Stewart AW, Robinson SD, O'Brien K, others", 2022,
        "QSMxT: Robust masking and artifact reduction for quantitative susceptibility mapping",
        _MRM, "87(3):1289-1300", "10.1002/mrm.29048",
    ),
    Reference(
        "wu2012", "Wu B, Li W, Guidon A, Liu C", 2012,
        "Whole brain susceptibility mapping using compressed sensing", _MRM, "67(1):137-147", "10.1002/mrm.23000",
    ),
    Reference(
        "schweser2011", "Schweser F, Deistung A, Lehr BW, Reichenbach JR", 2011,
        "Quantitative imaging of intrinsic magnetic tissue properties using MRI signal phase: An approach to in vivo "
        "brain iron metabolism?",
        _NI, "54(4):2789-2807", "10.1016/j.neuroimage.2010.10.070",
    ),
    Reference(
        "sun2014", "Sun H, Wilman AH", 2014,
        "Background field removal using spherical mean value filtering and Tikhonov regularization",
        _MRM, "71(3):1151-1157", "10.1002/mrm.24765",
    ),
    Reference(
        "wen2014", "Wen Y, Zhou D, Liu T, Spincemaille P, Wang Y", 2014,
        "An iterative spherical mean value method for background field removal in MRI",
        _MRM, "72(4):1065-1071", "10.1002/mrm.24998",
    ),
    Reference(
        "zhou2014", "Zhou D, Liu T, Spincemaille P, Wang Y", 2014,
        "Background field removal by solving the Laplacian boundary value problem",
        _NBM, "27(3):312-319", "10.1002/nbm.3064",
    ),
    Reference(
        "liu2011", "Liu T, Khalidov I, de Rochefort L, Spincemaille P, Liu J, Tsiouris AJ, Wang Y", 2011,
        "A novel background field removal method for MRI using projection onto dipole fields (PDF)",
        _NBM, "24(9):1129-1136", "10.1002/nbm.1670",
    ),
    Reference(
        "liu2017", "Liu Z, Kee Y, Zhou D, Wang Y, Spincemaille P", 2017,
        "Preconditioned total field inversion (TFI) method for quantitative susceptibility mapping",
        _MRM, "78(1):303-315", "10.1002/mrm.26331",
    ),
    Reference(
        "milovic2021", "Milovic C, Prieto C, Bilgic B, Uribe S, Acosta-Cabronero J, Irarrazaval P, Tejos C", 2021,
        "Comparison of parameter optimization methods for quantitative susceptibility mapping",
        _MRM, "85(1):480-494", "10.1002/mrm.28435",
    ),
    Reference(
        "bilgic2014", "Bilgic B, Fan AP, Polimeni JR, others", 2014,
        "Fast quantitative susceptibility mapping with L1-regularization and automatic parameter selection",
        _MRM, "72(5):1444-1459", "10.1002/mrm.25029",
    ),
    Reference(
        "bilgic2014l2", "Bilgic B, Chatnuntawech I, Fan AP, others", 2014,
        "Fast image reconstruction with L2-regularization",
        "Journal of Magnetic Resonance Imaging", "40(1):181-191", "10.1002/jmri.24365",
    ),
    Reference(
        "kames2018", "Kames C, Wiggermann V, Rauscher A", 2018,
        "Rapid two-step dipole inversion for susceptibility mapping with sparsity priors",
        _NI, "167:276-283", "10.1016/j.neuroimage.2017.11.018",
    ),
    Reference(
        "shmueli2009", "Shmueli K, de Zwart JA, van Gelderen P, Li TQ, Dodd SJ, Duyn JH", 2009,
        "Magnetic susceptibility mapping of brain tissue in vivo using MRI phase data",
        _MRM, "62(6):1510-1522", "10.1002/mrm.22135",
    ),
    Reference(
        "schweser2013", "Schweser F, Deistung A, Sommer K, Reichenbach JR", 2013,
        "Toward online reconstruction of quantitative susceptibility maps: Superfast dipole inversion",
        _MRM, "69(6):1582-1594", "10.1002/mrm.24405",
    ),
    Reference(
        "li2015", "Li W, Wang N, Yu F, others", 2015,
        "A method for estimating and removing streaking artifacts in quantitative susceptibility mapping",
        _NI, "108:111-122", "10.1016/j.neuroimage.2014.12.043",
    ),
    Reference(
        "milovic2018", "Milovic C, Bilgic B, Zhao B, Acosta-Cabronero J, Tejos C", 2018,
        "Fast nonlinear susceptibility inversion with variational regularization",
        _MRM, "80(2):814-821", "10.1002/mrm.27073",
    ),
    Reference(
        "lambert2022", "Lambert M, Tejos C, Langkammer C, Milovic C", 2022,
        "Hybrid data fidelity term approach for quantitative susceptibility mapping",
        _MRM, "88(2):962-972", "10.1002/mrm.29218",
    ),
    Reference(
        "liu2012", "Liu J, Liu T, de Rochefort L, others", 2012,
        "Morphology enabled dipole inversion for quantitative susceptibility mapping using structural consistency "
        "between the magnitude image and the susceptibility map",
        _NI, "59(3):2560-2568", "10.1016/j.neuroimage.2011.08.082",
    ),
    Reference(
        "langkammer2015", "Langkammer C, Bredies K, Poser BA, others", 2015,
        "Fast quantitative susceptibility mapping using 3D EPI and total generalized variation",
        _NI, "111:622-630", "10.1016/j.neuroimage.2015.02.041",
    ),
    Reference(
        "pei2015", "Pei M, Nguyen TD, Thimmappa ND, others", 2015,
        "Algorithm for fast monoexponential fitting based on Auto-Regression on Linear Operations (ARLO) of data",
        _MRM, "73(2):843-850", "10.1002/mrm.25137",
    ),
    Reference(
        "gudbjartsson1995", "Gudbjartsson H, Patz S", 1995,
        "The Rician distribution of noisy MRI data", _MRM, "34(6):910-914", "10.1002/mrm.1910340618",
    ),
    Reference(
        "eckstein2021", "Eckstein K, Bachrata B, Hangel G, others", 2021,
        "Improved susceptibility weighted imaging at ultra-high field using bipolar multi-echo acquisition and "
        "optimized "
        "image processing: CLEAR-SWI",
        _NI, "237:118175", "10.1016/j.neuroimage.2021.118175",
    ),
    Reference(
        "tustison2010", "Tustison NJ, Avants BB, Cook PA, Zheng Y, Egan A, Yushkevich PA, Gee JC", 2010,
        "N4ITK: Improved N3 bias correction", "IEEE Transactions on Medical Imaging", "29(6):1310-1320",
        "10.1109/TMI.2010.2046908",
    ),
    Reference(
        "avants2008", "Avants BB, Epstein CL, Grossman M, Gee JC", 2008,
        "Symmetric diffeomorphic image registration with cross-correlation: Evaluating automated labeling of "
        "elderly and "
        "neurodegenerative brain",
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
)  # fmt: skip

#: The bibliography by key.
REFERENCES: dict[str, Reference] = {reference.key: reference for reference in _TABLE}
