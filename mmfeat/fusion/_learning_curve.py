"""The curves of a training as a picture."""

from sklearn.utils.validation import check_is_fitted


def plot_learning_curve(estimator, ax=None):
    """Draw the training loss and the ranking of the held-out pairs over the epochs.

    Parameters
    ----------
    estimator : LearnedProjection, DeepCCA or other fusion with `loss_curve_`
        Fitted.
    ax : matplotlib.axes.Axes or None, default=None
        Where to draw; None: a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Of the loss; that of the ranking, which has a scale of its own, lies over it where pairs were held out.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import LearnedProjection, plot_learning_curve
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> ax = plot_learning_curve(LearnedProjection(3, max_epochs=4, random_state=0).fit(X, X))
    >>> ax.get_xlabel()
    'epoch'
    """
    check_is_fitted(estimator, "loss_curve_")
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.figure(layout="constrained").add_subplot()
    epochs = range(1, len(estimator.loss_curve_) + 1)
    ax.plot(epochs, estimator.loss_curve_, color="tab:blue", label="training loss")
    ax.set(xlabel="epoch", ylabel="training loss")
    ax.xaxis.get_major_locator().set_params(integer=True)
    handles = ax.get_lines()[-1:]
    if estimator.validation_curve_:
        above = ax.twinx()
        above.plot(epochs, estimator.validation_curve_, color="tab:orange", label="held-out reciprocal rank")
        above.set(ylabel="mean reciprocal rank")
        kept = above.axvline(estimator.best_epoch_ + 1, color="gray", linestyle=":", label="weights kept")
        handles = [*handles, *above.get_lines()[:1], kept]
    ax.legend(handles=handles, loc="best")
    return ax
