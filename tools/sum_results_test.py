# SPDX-License-Identifier: Apache-2.0
"""What tools/sum_results.py prints of a file as ctest writes it."""
import os
import subprocess
import sys
import tempfile
import unittest

SUM_RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'sum_results.py')


def printed(xml):
    with tempfile.NamedTemporaryFile('w', suffix='.xml', encoding='utf-8') as file:
        file.write(xml)
        file.flush()
        return subprocess.run([sys.executable, SUM_RESULTS, file.name], capture_output=True, text=True, check=True).stdout


class SumResultsTest(unittest.TestCase):

    def test_a_failed_unit_test_is_printed_with_its_output(self):
        output = printed('<testsuite><testcase name="A.Works" status="run"><system-out>fine</system-out></testcase>'
                         '<testcase name="A.Fails" status="fail"><failure message="Failed"/>'
                         '<system-out>expected 1\ngot 2</system-out></testcase></testsuite>')
        self.assertIn('== failed: A.Fails', output)
        self.assertIn('expected 1\ngot 2\n', output)
        self.assertNotIn('fine', output)
        self.assertTrue(output.endswith('\n1 passed, 1 failed, 0 skipped\n'))

    def test_a_long_output_is_cut_at_its_start(self):
        lines = '\n'.join(f'line {i}' for i in range(150))
        output = printed('<testsuite><testcase name="A.Fails" status="fail"><failure message="Failed"/>'
                         f'<system-out>{lines}</system-out></testcase></testsuite>')
        self.assertNotIn('line 49\n', output)
        self.assertIn('line 50\n', output)
        self.assertIn('line 149\n', output)


if __name__ == '__main__':
    unittest.main()
