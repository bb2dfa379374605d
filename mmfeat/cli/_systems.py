"""The encoders and fusions that the command offers."""

from pathlib import Path

from sklearn.pipeline import make_pipeline, make_union

from mmfeat.encoding import PowerNormalizer
from mmfeat.fusion import CCA, PLS, LearnedProjection
from mmfeat.image import CNNFeatures, ColorHistogram, HOGFeatures
from mmfeat.text import tfidf_lsa

DEFAULT_NETWORK = "mobilenet_v2"


def image_encoder(weights=None, network=DEFAULT_NETWORK, *, size=96, verbose=False):
    """Encoder of pictures: a network where there are weights, else colour and gradients.

    Parameters
    ----------
    weights : path-like or None
        Kept as an absolute path, so that a model finds them from any folder.
    network : str
        torchvision network the weights belong to.
    size : int
        Side in pixels that pictures are resized to for the gradients.
    verbose : bool
        Show progress.

    Returns
    -------
    encoder : Pipeline or FeatureUnion
    """
    if weights is None:
        gradients = HOGFeatures(
            pixels_per_cell=(size // 6, size // 6),
            cells_per_block=(2, 2),
            channel_axis=-1,
            size=(size, size),
            verbose=verbose,
        )
        return make_union(make_pipeline(ColorHistogram(grid=3, verbose=verbose), PowerNormalizer()), gradients)
    # Squashed, nothing that a sentence may name is cropped away; the mirror image costs a second pass and brings a point
    # of recall; square roots tame the tails of rectified features.
    path = str(Path(weights).absolute())
    features = CNNFeatures(network, path, test_time="flip", resize="squash", verbose=verbose)
    return make_pipeline(features, PowerNormalizer())


def text_encoder(texts, language, n_components, seed):
    """Encoder of sentences: TF-IDF reduced by a singular value decomposition, no wider than the texts allow.

    Parameters
    ----------
    texts : list of str
        What it will be fitted on; only counted here.
    language : {"en", "zh"}
    n_components : int
        Most columns.
    seed : int

    Returns
    -------
    encoder : Pipeline
    """
    # In a small table most words stand once, and dropping them would leave little.
    min_df = 2 if len(texts) >= 1000 else 1
    n_terms = len(tfidf_lsa(None, language=language, min_df=min_df).fit(texts).get_feature_names_out())
    widest = min(n_components, n_terms - 1, len(texts) - 1)
    return tfidf_lsa(widest if widest > 1 else None, language=language, min_df=min_df, random_state=seed)


def make_fusion(name, seed, *, verbose=False):
    """Fusion by its name on the command line; CCA chooses its ridge on held-out pictures."""
    if name == "cca":
        return CCA(reg="auto")
    if name == "pls":
        return PLS()
    return LearnedProjection(256, random_state=seed, verbose=verbose)


def guess_language(texts):
    """Language of a column of sentences: "zh" if at least a tenth of the letters are Chinese, else "en"."""
    letters = [letter for text in texts for letter in text if letter.isalpha()]
    chinese = sum("\u3400" <= letter <= "\u9fff" for letter in letters)
    return "zh" if letters and chinese >= 0.1 * len(letters) else "en"
