"""CARE's two probes (RLAVR/CARE): ``features`` has what they see of a group, ``records`` what they remember once its
label is known, ``network`` what they are, ``training`` how they learn, and ``storage`` how records are kept.
"""
