"""Ratios, verdicts and the table, on made-up figures."""

import unittest

import report
from kinds import Measured
from spec import Bound, Case, Scenario


def scenario(*bounds):
    return Scenario("s", "title", (Case("portcullis"), Case("portcullis", label="plain"), Case("envoy")), bounds)


class Verdicts(unittest.TestCase):
    measured = {
        "portcullis": Measured(figures=[10.0, 12.0, 11.0]),
        "portcullis plain": Measured(figures=[10.0, 10.0, 10.0]),
        "envoy": Measured(figures=[20.0, 20.0, 20.0]),
    }

    def verdict(self, bound):
        return report.rows(scenario(bound), self.measured)[1][0]

    def test_ratio_is_the_median_of_the_rounds_ratios(self):
        verdict = self.verdict(Bound("portcullis", "envoy", 0.55))
        self.assertEqual((verdict.got, verdict.held), ("0.55 (0.50-0.60)", True))

    def test_a_missed_bound_is_said_in_row_and_summary(self):
        cells, verdicts = report.rows(scenario(Bound("portcullis", "envoy", 0.5)), self.measured)
        self.assertEqual(cells[2][3:6], ("0.55 (0.50-0.60)", "<= 0.5", "**missed**"))
        self.assertIn("1 missed", report.summary(verdicts))

    def test_a_comparison_with_ourselves_stands_beside_us(self):
        cells, _ = report.rows(scenario(Bound("portcullis", "portcullis plain", 1.15)), self.measured)
        self.assertEqual(cells[0][3:6], ("1.10 (1.00-1.20) x plain", "<= 1.15", "held"))

    def test_what_was_not_measured_is_neither_held_nor_missed(self):
        verdict = self.verdict(Bound("portcullis", "nginx", 1.0))
        self.assertIsNone(verdict.held)

    def test_an_absolute_bound(self):
        self.assertFalse(self.verdict(Bound("portcullis", None, 8)).held)

    def test_rows_of_the_table_have_one_width(self):
        cells, _ = report.rows(scenario(Bound("portcullis", "envoy", 0.5)), self.measured)
        self.assertEqual(len({len(line) for line in report.table(cells).splitlines()}), 1)


if __name__ == "__main__":
    unittest.main()
