"""Which part of a picture makes it similar to a sentence."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.fusion._explain import embedding_map, is_linear
from mmfeat.image import grad_cam
from mmfeat.image._behind_network import BehindNetwork
from mmfeat.retrieval._retriever import Retriever
from mmfeat.utils._compat import validate_params
from mmfeat.utils._steps import numeric_gradient
from mmfeat.utils._validation import check_images, check_texts


@validate_params(
    {"retriever": [Retriever], "layer": [str, None], "signed": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def pair_heat_maps(retriever, images, texts, layer=None, *, signed=False):
    """Draw heat maps of the parts of pictures that make them similar to sentences: Grad-CAM of the cosine.

    Parameters
    ----------
    retriever : Retriever
        Fitted. Its image encoder is a :class:`~mmfeat.image.CNNFeatures`, or a pipeline that begins with one.
    images : sequence of images
        Paths, PIL images, arrays (height, width[, 1, 3 or 4]) or bytes of image files.
    texts : sequence of str
        The sentence for each picture; name a picture twice to ask about two.
    layer : str or None, default=None
        See :func:`mmfeat.image.grad_cam`.
    signed : bool, default=False
        Keep what speaks against the pair, as values below 0.

    Returns
    -------
    heat_maps : list of ndarray of shape (height, width), dtype float32
        One a pair, in the size of its picture.

    Raises
    ------
    ValueError
        If the image encoder does not begin with a network, there are not as many sentences as pictures, an image
        cannot be read, or the retriever has no gradient.

    See Also
    --------
    explain_pair : The words and the features that make a pair similar.
    mmfeat.image.draw_heat_map : Lays a map over its picture.

    Notes
    -----
    With embeddings z of the picture and t of the sentence, both of unit length, the gradient of the cosine by the
    picture's embedding before it was brought to that length r is :math:`(t - (z \\cdot t) z) / r`. Through linear fusions,
    and steps that scale, select, project or normalise, it is carried back to the features of the network in closed form;
    through all others, such as learned heads, kernels and posteriors, by central differences. From there
    :func:`~mmfeat.image.grad_cam` takes over.

    Examples
    --------
    >>> import warnings
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.fusion import CCA
    >>> from mmfeat.image import CNNFeatures
    >>> from mmfeat.retrieval import Retriever, pair_heat_maps
    >>> from mmfeat.text import tfidf_lsa
    >>> pairs = make_scenes(20, random_state=0)
    >>> cnn = CNNFeatures("squeezenet1_1", weights=None, layer="features.5")
    >>> retriever = Retriever(cnn, tfidf_lsa(10, random_state=0), CCA(4, reg=1.0))
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # the network is random
    ...     retriever = retriever.fit(pairs)
    >>> heat = pair_heat_maps(retriever, pairs["image"][:1], ["two small crowns"])
    >>> heat[0].shape
    (96, 96)
    """
    check_is_fitted(retriever)
    images, texts = check_images(images), check_texts(texts)
    if len(texts) != len(images):
        raise ValueError(f"There are {len(images)} images and {len(texts)} texts. Pass one text for each image.")
    behind = BehindNetwork([retriever.image_encoder_], images)
    sentences = _unit(retriever.encode_text(texts).astype(np.float64))
    slopes = []
    for number, sentence in enumerate(sentences):
        by_output = cosine_gradient(retriever.fusion_, behind.output(number), sentence)
        slopes.append(behind.pull_back(number, by_output))
    return grad_cam(behind.network, images, slopes, layer, signed=signed)


def cosine_gradient(fusion, row, sentence):
    """Gradient of the cosine of a picture and a sentence by the picture's features.

    Parameters
    ----------
    fusion : fitted fusion or "passthrough"
    row : ndarray of shape (n_features,)
        What the fusion takes of the picture, float64.
    sentence : ndarray of shape (n_components,)
        Embedding of unit length.

    Returns
    -------
    gradient : ndarray of shape (n_features,)

    Raises
    ------
    ValueError
        If there is none, as for a fusion of decision trees.
    """
    if isinstance(fusion, str):
        return _gradient_by_embedding(row, sentence)
    if is_linear(fusion):
        matrix = embedding_map(fusion, fusion.transform, row, fusion.x_mean_, fusion.x_rotations_)
        return matrix @ _gradient_by_embedding((row - fusion.x_mean_) @ matrix, sentence)
    return numeric_gradient(lambda rows: _unit(fusion.transform(rows)) @ sentence, row, type(fusion).__name__)


def _gradient_by_embedding(embedding, sentence):
    length = np.linalg.norm(embedding)
    if length == 0:  # its cosine is 0 by convention
        return np.zeros_like(embedding)
    unit = embedding / length
    return (sentence - (unit @ sentence) * unit) / length


def _unit(rows):
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, 1, lengths)
