"""What a study file may say: every key of ``studies/<study>.yaml``, with its type, its unit and its default.

A study file is YAML; each of its sections is a model of this folder, which refuses unknown keys and wrong types, so
that a misspelt word is an error and not a setting without effect. `study.Study` is the whole file, `endpoint`
its outcome, `columns` its clinical variables and CT findings, `features` its radiomics and its network, `learning` its
signatures and chapter 05, `evaluation` what chapters 06 to 08 do, `synthetic` the generator of a synthetic cohort.
`radsupport.study.load_study` reads a file. Methods do not know a study: they import a part at most.
"""
