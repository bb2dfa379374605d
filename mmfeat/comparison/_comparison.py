"""What a comparison found, as rows, tables, pictures and a page."""

import csv
import io
import json
from pathlib import Path

from mmfeat.comparison._charts import cost_chart, curve_chart, hub_chart
from mmfeat.comparison._examples import examples_of
from mmfeat.comparison._page import page
from mmfeat.comparison._rows import WAYS, chance_row, pairwise_tests, recall_curve, row_of, score_system
from mmfeat.comparison._sides import write_whole
from mmfeat.comparison._systems import remarks_of
from mmfeat.comparison._words import markdown, verdict

# Names of the charts.
CHARTS = ("cost", "recall_i2t", "recall_t2i", "hubs")


class Comparison:
    """What :func:`compare` found; made by that function, from its work folder.

    Parameters
    ----------
    systems : list of System, Together or Reranked
    folders : dict of str to list of Path
        Runs of each system, one for each seed.
    task : Task
        What is right for each query.
    splits : dict of str to pairs
    sides : dict of str to dict
        Features by kind and name.
    costs : dict of str to dict
        What encoding cost, likewise.
    seed : int
        Of intervals and tests.

    Attributes
    ----------
    rows : list of dict
        One for each system and one for chance. Recalls in percent; the measure, "rsum" or "mAP", with "low" and "high", the
        bounds of its 95 % bootstrap interval over test pictures, and "std over seeds"; "fit s", "query ms", "peak MB",
        "model MB"; "hubness", the skewness of how often pictures are among the ten nearest of a sentence; "settings" chosen on
        val. "remarks" says what is transductive or supervised.
    tests : list of dict
        Paired permutation test of each pair of systems: "difference" of the measure with its interval ("low", "high"), "p", and
        "p corrected" for the number of pairs (Holm).
    measure : str
        "rsum" or "mAP".
    best : str
        Name of the system with the highest score on val among those that are neither transductive nor supervised, nor built on
        such; among all, if there are no others.

    Examples
    --------
    >>> import tempfile
    >>> from mmfeat.comparison import System, compare
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.fusion import CCA
    >>> from mmfeat.image import ColorHistogram
    >>> from mmfeat.text import tfidf_lsa
    >>> pairs = make_scenes(90, random_state=0)
    >>> splits = {"train": pairs[:50], "val": pairs[50:70], "test": pairs[70:]}
    >>> with tempfile.TemporaryDirectory() as work:
    ...     found = compare(
    ...         [System("CCA", CCA(8))], splits, {"colour": ColorHistogram()}, {"tfidf": tfidf_lsa(16)}, work=work, isolate=False
    ...     )
    ...     files = found.save(work, "colours")
    >>> [file.suffix for file in files[:4]]
    ['.json', '.md', '.csv', '.svg']
    >>> found.gallery()
    {'images': 20, 'texts': 100}
    """

    def __init__(self, systems, folders, task, splits, sides, costs, seed):
        self._task, self._splits, self._sides, self._folders = task, splits, sides, folders
        self.measure = task.measure_name
        self._scored = [score_system(system, folders[system.name], task) for system in systems]
        remarks = remarks_of(systems)
        self.rows = [row_of(scored, task, seed, remarks[scored.system.name]) for scored in self._scored]
        fair = [row for row in self.rows if not row["remarks"]] or self.rows
        self.best = max(fair, key=lambda row: row[f"val {self.measure}"])["system"]
        self.tests = pairwise_tests(self._scored, seed)
        self.rows.append(chance_row(task, self.rows[0]))
        self.encoding = costs

    def gallery(self):
        """Size of the gallery: pictures and sentences of test.

        Returns
        -------
        sizes : dict
            "images" and "texts".
        """
        return {"images": self._task.n_images["test"], "texts": len(self._task.groups["test"])}

    def record(self):
        """Everything for JSON.

        Returns
        -------
        record : dict
        """
        return {
            "measure": self.measure,
            "gallery": self.gallery(),
            "split_sizes": self._task.n_images,
            "chosen_on": "val",
            "best": self.best,
            "verdict": self.verdict(),
            "results": self.rows,
            "tests": self.tests,
            "encoding": self.encoding,
        }

    def verdict(self):
        """What wins, by how much, whether that is more than chance, and at what cost.

        Returns
        -------
        paragraph : str
            In Markdown; the name of the best is bold.
        """
        return verdict(self)

    def markdown(self):
        """Verdict and tables.

        Returns
        -------
        text : str
            In Markdown.
        """
        return markdown(self)

    def csv(self):
        """The rows as a table.

        Returns
        -------
        text : str
            Values separated by commas, the first line their names.
        """
        file = io.StringIO()
        writer = csv.DictWriter(file, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in self.rows)
        return file.getvalue()

    def charts(self):
        """Draw score against cost, recall at k both ways, and hubs.

        Returns
        -------
        charts : dict of str to str
            SVG by name: "cost", "recall_i2t" and "recall_t2i" (not by label), "hubs".
        """
        charts = {"cost": cost_chart(self)}
        if not self._task.by_label:
            limits = {"i2t": self.gallery()["texts"], "t2i": self.gallery()["images"]}
            for way, name in WAYS.items():
                ks = [k for k in (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100) if k <= limits[way]]
                curves = {scored.system.name: recall_curve(scored, way, ks) for scored in self._scored}
                charts[f"recall_{way}"] = curve_chart(curves, ks, name)
        counts = {scored.system.name: scored.records[0]["occurrences"] for scored in self._scored}
        charts["hubs"] = hub_chart(counts)
        return charts

    def html(self, title="Comparison", *, pictures=True, n_examples=6):
        """A page that needs nothing else: tables, charts, the best and the worst queries with the pictures found.

        Parameters
        ----------
        title : str, default="Comparison"
        pictures : bool, default=True
            Embed small pictures. False leaves the queries out, for pictures that may not be published.
        n_examples : int, default=6
            Queries of each kind.

        Returns
        -------
        html : str
        """
        examples = examples_of(self, n_examples) if pictures else None
        return page(self, title, examples)

    def save(self, folder, name, *, title=None, pictures=True, provenance=None):
        """Write ``NAME.json``, ``.md``, ``.csv``, ``.html`` and the charts ``NAME_*.svg``.

        Parameters
        ----------
        folder : path-like
            Made if need be; files of these names are replaced.
        name : str
        title : str or None, default=None
            Of the page; None is `name`.
        pictures : bool, default=True
            As in :meth:`html`.
        provenance : dict or None, default=None
            Put into the record.

        Returns
        -------
        files : list of Path
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        record = {**self.record(), **({"provenance": provenance} if provenance else {})}
        contents = {
            f"{name}.json": json.dumps(record, ensure_ascii=False, indent=1) + "\n",
            f"{name}.md": self.markdown() + "\n",
            f"{name}.csv": self.csv(),
            **{f"{name}_{chart}.svg": drawn for chart, drawn in self.charts().items()},
        }
        for file, content in contents.items():
            write_whole(folder / file, content)
        # Last, since it may fail where pictures cannot be read; the figures are safe by then.
        write_whole(folder / f"{name}.html", self.html(title or name, pictures=pictures))
        return [folder / file for file in (*contents, f"{name}.html")]
