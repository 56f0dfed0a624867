/* Formulas in this book are written in words and Unicode: MathJax, which Sphinx would fetch from another host, is not needed. */
