"""Works on susceptibility mapping, from the signal to the map."""

from bids_app.report.reference import Reference

_MRM, _NI, _NBM = "Magnetic Resonance in Medicine", "NeuroImage", "NMR in Biomedicine"
WORKS = (
    Reference(
        "bilgic2024", "Bilgic B, Costagli M, Chan KS, others", 2024,
        "Recommended implementation of quantitative susceptibility mapping for clinical research in the brain: A "
        "consensus of the ISMRM electro-magnetic tissue properties study group",
        _MRM, "91(5):1834-1862", "10.1002/mrm.30006",
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
        "signals and phase unwrapping",
        _NBM, "30(4):e3601", "10.1002/nbm.3601",
    ),
    Reference(
        "liu2013", "Liu T, Wisnieff C, Lou M, Chen W, Spincemaille P, Wang Y", 2013,
        "Nonlinear formulation of the magnetic field to source relationship for robust quantitative "
        "susceptibility mapping",
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
        "Quantitative imaging of intrinsic magnetic tissue properties using MRI signal phase: An approach to in "
        "vivo brain iron metabolism?",
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
        "parker2014", "Parker DL, Payne A, Todd N, Hadley JR", 2014,
        "Phase reconstruction from multiple coil data using a virtual reference coil",
        _MRM, "72(2):563-569", "10.1002/mrm.24932",
    ),
    Reference(
        "zhang2014", "Zhang X, Liu J, He B", 2014,
        "Magnetic Resonance Based Electrical Properties Tomography: A Review",
        "IEEE Reviews in Biomedical Engineering", "7:87-96", "10.1109/RBME.2013.2297206",
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
        "Morphology enabled dipole inversion for quantitative susceptibility mapping using structural consistency"
        " between the magnitude image and the susceptibility map",
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
        "optimized image processing: CLEAR-SWI",
        _NI, "237:118175", "10.1016/j.neuroimage.2021.118175",
    ),
    Reference(
        "milovic2019", "Milovic C, Bilgic B, Zhao B, Langkammer C, Tejos C, Acosta-Cabronero J", 2019,
        "Weak-harmonic regularization for quantitative susceptibility mapping",
        _MRM, "81(2):1399-1411", "10.1002/mrm.27483",
    ),
    Reference(
        "milovic2022", "Milovic C, Lambert M, Langkammer C, Bredies K, Irarrazaval P, Tejos C", 2022,
        "Streaking artifact suppression of quantitative susceptibility mapping reconstructions via L1-norm data "
        "fidelity optimization (L1-QSM)",
        _MRM, "87(1):457-473", "10.1002/mrm.28957",
    ),
    Reference(
        "milovic2025", "Milovic C, Tejos C, Silva J, Shmueli K, Irarrazaval P", 2025,
        "XSIM: A structural similarity index measure optimized for MRI QSM",
        _MRM, "93(1):411-421", "10.1002/mrm.30271",
    ),
    Reference(
        "langkammer2018", "Langkammer C, Schweser F, Shmueli K, others", 2018,
        "Quantitative susceptibility mapping: Report from the 2016 reconstruction challenge",
        _MRM, "79(3):1661-1673", "10.1002/mrm.26830",
    ),
    Reference(
        "bilgic2021", "Bilgic B, Langkammer C, Marques JP, Meineke J, Milovic C, Schweser F", 2021,
        "QSM reconstruction challenge 2.0: Design and report of results",
        _MRM, "86(3):1241-1255", "10.1002/mrm.28754",
    ),
    Reference(
        "salomir2003", "Salomir R, de Senneville BD, Moonen CTW", 2003,
        "A fast calculation method for magnetic field inhomogeneity due to an arbitrary distribution of bulk "
        "susceptibility",
        "Concepts in Magnetic Resonance Part B", "19B(1):26-34", "10.1002/cmr.b.10083",
    ),
    Reference(
        "marques2005", "Marques JP, Bowtell R", 2005,
        "Application of a Fourier-based method for rapid calculation of field inhomogeneity due to spatial "
        "variation of magnetic susceptibility",
        "Concepts in Magnetic Resonance Part B", "25B(1):65-78", "10.1002/cmr.b.20034",
    ),
    Reference(
        "haacke2004", "Haacke EM, Xu Y, Cheng YCN, Reichenbach JR", 2004,
        "Susceptibility weighted imaging (SWI)",
        _MRM, "52(3):612-618", "10.1002/mrm.20198",
    ),
    Reference(
        "bredies2010", "Bredies K, Kunisch K, Pock T", 2010,
        "Total generalized variation",
        "SIAM Journal on Imaging Sciences", "3(3):492-526", "10.1137/090769521",
    ),
    Reference(
        "pock2011", "Pock T, Chambolle A", 2011,
        "Diagonal preconditioning for first order primal-dual algorithms in convex optimization",
        "IEEE International Conference on Computer Vision", "2011:1762-1769", "10.1109/ICCV.2011.6126441",
    ),
    Reference(
        "condat2013", "Condat L", 2013,
        "A primal-dual splitting method for convex optimization involving Lipschitzian, proximable and linear "
        "composite terms",
        "Journal of Optimization Theory and Applications", "158(2):460-479", "10.1007/s10957-012-0245-9",
    ),
    Reference(
        "donoho1995", "Donoho DL", 1995,
        "De-noising by soft-thresholding",
        "IEEE Transactions on Information Theory", "41(3):613-627", "10.1109/18.382009",
    ),
    Reference(
        "giannelli2010", "Giannelli M, Diciotti S, Tessa C, Mascalchi M", 2010,
        "Characterization of Nyquist ghost in EPI-fMRI acquisition sequences implemented on two clinical 1.5 T MR"
        " scanner systems: effect of readout bandwidth and echo spacing",
        "Journal of Applied Clinical Medical Physics", "11(4):3237", "10.1120/jacmp.v11i4.3237",
    ),
    Reference(
        "otsu1979", "Otsu N", 1979,
        "A threshold selection method from gray-level histograms",
        "IEEE Transactions on Systems, Man, and Cybernetics", "9(1):62-66", "10.1109/TSMC.1979.4310076",
    ),
    Reference(
        "kittler1986", "Kittler J, Illingworth J", 1986,
        "Minimum error thresholding",
        "Pattern Recognition", "19(1):41-47", "10.1016/0031-3203(86)90030-0",
    ),
    Reference(
        "hallgren1958", "Hallgren B, Sourander P", 1958,
        "The effect of age on the non-haemin iron in the human brain",
        "Journal of Neurochemistry", "3(1):41-51", "10.1111/j.1471-4159.1958.tb12607.x",
    ),
)  # fmt: skip
