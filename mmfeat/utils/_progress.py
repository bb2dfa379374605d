"""Progress bars that appear only when a step takes more than two seconds."""


def progress(iterable=None, *, total=None, desc=None, unit="it", verbose=True):
    """Wrap an iterable in a tqdm bar that stays hidden for the first two seconds and goes to stderr.

    Parameters
    ----------
    iterable : iterable or None
    total : int or None
    desc : str or None
    unit : str
    verbose : bool
        False gives a bar that never shows.

    Returns
    -------
    bar : tqdm.tqdm
    """
    from tqdm.auto import tqdm

    return tqdm(iterable, total=total, desc=desc, unit=unit, delay=2, disable=not verbose, leave=False)
