# SPDX-License-Identifier: Apache-2.0
"""Each rule of tools/tidy on a small tree that breaks it."""
import os
import subprocess
import sys
import tempfile
import unittest

TIDY = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'tidy')
SPDX = '// SPDX-License-Identifier: Apache-2.0\n'
LAYERS = '# comment\n0 base\n1 net\n1 core\n2 leaves/*\nplugin plugins/x\n'
GLOB = 'penstock_library(any)\n'


class TidyTest(unittest.TestCase):

    def tidy(self, files, *flags):
        """(exit code, lines) of tidy on a tree of `files` and the least that a tree needs."""
        with tempfile.TemporaryDirectory() as root:
            subprocess.run(['git', 'init', '-q', root], check=True)
            for path, text in {'src/LAYERS': LAYERS, **files}.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, 'w', encoding='utf-8') as file:
                    file.write(text)
            done = subprocess.run([sys.executable, TIDY, '--root', root, *flags], capture_output=True, text=True,
                                  check=False)
            return done.returncode, done.stdout.splitlines()

    def problem(self, files):
        """The only problem."""
        code, lines = self.tidy(files)
        self.assertEqual(len(lines), 1, lines)
        self.assertEqual(code, 1)
        return lines[0]

    def test_a_clean_tree(self):
        header = SPDX + '// Counts. Thread-safe.\nclass Counter final {\n};\n'
        self.assertEqual(self.tidy({
            'src/base/a.h': header, 'src/base/CMakeLists.txt': GLOB, 'src/base/a.cc': SPDX + '#include "base/a.h"\n',
            'src/net/CMakeLists.txt': GLOB, 'src/net/b.cc': SPDX + '#include "base/a.h"\n#include <vector>\n',
            'docs/page.md': '# Title\n```\n# comment\n```\n## More\n'}), (0, []))

    def layered(self, folder, include):
        return {f'src/{folder}/CMakeLists.txt': GLOB, f'src/{folder}/a.cc': SPDX + f'#include "{include}"\n'}

    def test_higher_levels_and_siblings(self):
        self.assertIn('level 0 (base) must not include net/x.h (level 1)', self.problem(self.layered('base', 'net/x.h')))
        self.assertIn('must not include core/x.h', self.problem(self.layered('net', 'core/x.h')))
        self.assertIn('must not include leaves/b/x.h', self.problem(self.layered('leaves/a', 'leaves/b/x.h')))
        self.assertIn('level plugin', self.problem(self.layered('net', 'plugins/x/y.h')))
        self.assertEqual(self.tidy(self.layered('leaves/a', 'leaves/a/x.h'))[0], 0)

    def test_plugins_see_only_themselves(self):
        self.assertIn('plug-in', self.problem(self.layered('plugins/x', 'base/x.h')))
        self.assertEqual(self.tidy(self.layered('plugins/x', 'penstock/backend.h'))[0], 0)

    def test_a_folder_without_level(self):
        self.assertIn('not in src/LAYERS', self.problem(self.layered('new', 'x.h')))

    def test_include_cycles(self):
        files = {f'src/base/{name}.h': SPDX + f'#include "base/{other}.h"\n'
                 for name, other in [('a', 'b'), ('b', 'c'), ('c', 'b')]}
        self.assertEqual(self.tidy({**files, **self.layered('net', 'base/a.h')})[1],
                         ['src/base/b.h: it includes itself: base/b.h -> base/c.h -> base/b.h',
                          'src/base/b: 2 modules include each other: base/b, base/c'])

    def test_knots_of_modules(self):
        def ring(size):
            files = {'src/base/CMakeLists.txt': GLOB}
            for i in range(size):
                files[f'src/base/m{i}.h'] = SPDX
                files[f'src/base/m{i}.cc'] = SPDX + f'#include "base/m{(i + 1) % size}.h"\n'
            return files
        self.assertIn('4 modules include each other', self.problem(ring(4)))
        self.assertIn('2 modules include each other', self.problem(ring(2)))
        self.assertEqual(self.tidy(ring(1))[0], 0)

    def test_folder_sizes(self):
        def folder(size):
            return {'src/net/CMakeLists.txt': GLOB, **{f'src/net/m{i}{end}.cc': SPDX for i in range(size)
                                                       for end in ('', '_test')}}
        self.assertIn('26 modules, more than 25', self.problem(folder(26)))
        self.assertEqual(self.tidy(folder(25))[0], 0)

    def test_width(self):
        files = {'src/base/CMakeLists.txt': GLOB, 'src/base/a.cc': SPDX + '// ' + 'é' * 97 + '\n// ' + 'x' * 98 + '\n'}
        self.assertEqual(self.problem(files), 'src/base/a.cc:3: 101 characters, more than 100')

    def test_licence(self):
        self.assertIn('begin it with', self.problem({'tools/x.py': 'print(1)\n'}))

    def function(self, body):
        return {'src/base/CMakeLists.txt': GLOB, 'src/base/a.cc': SPDX + 'namespace a {\n' + body + '}\n'}

    def test_function_length(self):
        lines = '  Call("}", \'{\');  // {\n' * 69
        self.assertEqual(self.problem(self.function('int F(\n    int a) {\n' + lines + '}\n')),
                         'src/base/a.cc:3: a function of 72 lines, more than 70')
        self.assertEqual(self.tidy(self.function('int F() {\n' + lines[:-22] + '}\n'))[0], 0)
        self.assertIn('a function of 71', self.problem(self.function(
            '// Counts. Thread-safe.\nclass A {\n public:\n  A() : a_{1}, b_(R"({)") {\n' + lines + '  }\n};\n')))
        self.assertIn('a function of 71', self.problem(self.function(
            '#define OPEN {\n// Counts. Thread-safe.\ntemplate <class T>\n'
            'class A final : public B<T> {\n  void F() const {\n' + lines + '  }\n};\n')))
        self.assertEqual(self.tidy(self.function('const int kTable[] = {\n' + '    F(1),\n' * 99 + '};\n'))[0], 0)

    def test_thread_line(self):
        header = SPDX + '// Counts.\nclass Counter final : public Base {\n};\nclass Forward;\n'
        self.assertIn('class Counter does not say', self.problem({
            'src/base/CMakeLists.txt': GLOB, 'src/base/a.h': header, 'src/base/a.cc': SPDX + '#include "base/a.h"\n'}))

    def test_a_class_comment_says_more_than_its_thread_line(self):
        def commented(comment):
            return {'src/base/CMakeLists.txt': GLOB, 'src/base/a.cc': SPDX + '\n' + comment + 'class Counter {\n};\n'}
        for comment in ('// Thread-safe.\n', '// Immutable, so thread-safe. Owned by loop.\n'):
            self.assertIn('the comment of class Counter says only', self.problem(commented(comment)))
        for comment in ('// Counts. Thread-safe.\n', '// Thread-safe. It counts what each thread\n// does.\n'):
            self.assertEqual(self.tidy(commented(comment)), (0, []))

    def test_thread_line_of_nested_classes_and_of_those_in_sources(self):
        header = SPDX + '// Counts. Thread-safe.\nclass Counter {\n  // Adds.\n  class Adder final {\n  };\n};\n'
        source = SPDX + '#include "base/a.h"\n// One.\ntemplate <class T>\nclass One final : public Counter {\n};\n'
        files = {'src/base/CMakeLists.txt': GLOB, 'src/base/a.h': header, 'src/base/a.cc': source}
        self.assertEqual([line.split(': ')[0] for line in self.tidy(files)[1]], ['src/base/a.cc:5', 'src/base/a.h:5'])
        files['src/base/a.h'] = header.replace('// Adds.', '// Adds. One thread at a time.')
        files['src/base/a.cc'] = source.replace('// One.', '// One. Thread-safe.')
        self.assertEqual(self.tidy(files), (0, []))
        test = {'src/base/CMakeLists.txt': GLOB, 'src/base/a_test.cc': SPDX + 'class ATest {\n};\n'}
        self.assertEqual(self.tidy(test), (0, []))

    def test_dead_files(self):
        self.assertIn('no file includes it', self.problem({'src/base/a.h': SPDX}))
        self.assertIn('no CMakeLists.txt builds it', self.problem({'src/base/a.cc': SPDX}))
        self.assertEqual(self.tidy({'tests/a.cc': SPDX, 'tests/CMakeLists.txt': 'add_executable(x a.cc)'})[0], 0)

    def test_titles(self):
        self.assertIn('2 titles', self.problem({'docs/a.md': '# A\n# B\n'}))
        self.assertIn('0 titles', self.problem({'docs/a.md': 'text\n'}))

    def test_blobs(self):
        big = 'x' * ((1 << 20) + 1)
        self.assertIn('1048577 bytes', self.problem({'tests/data': big}))
        self.assertEqual(self.tidy({'examples/data': big})[0], 0)

    def test_the_cost_of_a_leaf(self):
        leaf = {'src/leaves/a/CMakeLists.txt': 'penstock_leaf(a DEPS penstock_base)\n', 'src/leaves/a/a.h': SPDX,
                'src/leaves/a/a.cc': SPDX + '#include "leaves/a/a.h"\n'}
        user = {'src/app/list.cc': SPDX + '#include "leaves/a/a.h"\n',
                'src/app/CMakeLists.txt': 'target_link_libraries(app_test PRIVATE penstock_a)\n'}
        tests = {f'src/app/{name}': SPDX + '#include "leaves/a/a.h"\n' for name in ('x_test.cc', 'y_fixture.h')}
        def cost(files):
            return self.tidy({**leaf, **files}, '--report')[1][-1]
        self.assertRegex(cost({**user, **tests}), r'^files to touch for a leaf \(leaves/a\) +its folder \+ 1 ')
        more = {'src/net/x.h': SPDX + '#include "leaves/a/a.h"\n', 'src/net/CMakeLists.txt': 'f(x DEPS penstock_a)\n'}
        self.assertIn('its folder + 3 ', cost({**user, **more}))

    def test_report(self):
        header = SPDX + '#include "base/b.h"\n// Counts. Thread-safe.\nclass Counter final {\n};\n'
        code, lines = self.tidy({'src/base/a.h': header, 'src/base/b.h': SPDX + '#include "base/a.h"\n'}, '--report')
        self.assertEqual(code, 0)
        self.assertEqual(len(lines), 10)
        self.assertRegex(lines[0], r'^include cycles +1 ')


if __name__ == '__main__':
    unittest.main()
