"""Prints every operator that the installed `onnx` defines: a line of domain, name and versions.

    python operators.py > operators.txt
"""

import collections

import onnx

versions = collections.defaultdict(list)
for schema in onnx.defs.get_all_schemas_with_history():
    versions[schema.domain or "ai.onnx", schema.name].append(schema.since_version)
for (domain, name), since in sorted(versions.items()):
    print(domain, name, *sorted(since))
