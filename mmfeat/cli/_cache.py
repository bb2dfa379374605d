"""``mmfeat cache``: what is in a folder of cached features, whether it is whole, and its end."""

import multiprocessing

from mmfeat.caching._store import Store, clear, require
from mmfeat.cli._report import Report


def run_info(location):
    """Count what is in a cache.

    Parameters
    ----------
    location : path-like

    Returns
    -------
    report : Report
    """
    require(location)
    record = Store(location).info()
    lines = [
        f"{record['rows']} rows, {_megabytes(record['bytes_in_use'])} in use of {_megabytes(record['file_bytes'])}; "
        f"the digests of {record['remembered_files']} files are remembered."
    ]
    for kind in sorted(record["transformers"], key=lambda kind: -kind["rows"]):
        since = f", since {kind['since']}" if "since" in kind else ""
        lines.append(
            f"  {kind['fingerprint'][:12]}  {kind['rows']} rows, {_megabytes(kind['bytes'])}{since}: {kind['transformer']}"
        )
    return Report(record, "\n".join(lines))


def run_verify(location, repair=False):
    """Check all rows of a cache.

    Parameters
    ----------
    location : path-like
    repair : bool, default=False
        Drop the rows that are damaged.

    Returns
    -------
    report : Report

    Raises
    ------
    OSError
        If the files are so damaged that they cannot be read.
    """
    require(location)
    # In a process of its own: a file damaged between its rows can end the process that reads it.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_verify, args=(sender, location, repair))
    process.start()
    sender.close()
    try:
        n_rows, damaged = receiver.recv()
    except EOFError:
        process.join()
        raise OSError(
            f"The cache in '{location}' cannot be read: the process that tried ended with code {process.exitcode}. Remove it "
            f"with `mmfeat cache clear --location {location}`."
        ) from None
    process.join()
    if isinstance(damaged, OSError):
        raise damaged
    record = {"location": str(location), "rows": n_rows, "damaged": damaged, "repaired": bool(repair and damaged)}
    if not damaged:
        return Report(record, f"All {n_rows} rows are whole.")
    cure = "They were dropped and are computed again when asked for." if repair else "Drop them with --repair."
    return Report(record, f"{len(damaged)} of {n_rows} rows are damaged. {cure}")


def run_clear(location):
    """Remove a cache.

    Parameters
    ----------
    location : path-like

    Returns
    -------
    report : Report
    """
    n_bytes = clear(location)
    return Report({"location": str(location), "bytes": n_bytes}, f"Removed {_megabytes(n_bytes)}.")


def _verify(sender, location, repair):
    try:
        sender.send(Store(location).verify(repair=repair))
    except OSError as error:
        sender.send((0, error))


def _megabytes(n_bytes):
    return f"{n_bytes / 1e6:.1f} MB"
