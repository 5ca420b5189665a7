"""Lists of readers from elsewhere: read, shown before anything happens, applied, undone; and written out again.

Read in this order: `model` has the words; `columns`, `services` and `words` say what a header and a cell mean, `cells`
what an address is, `choices` what topics and languages are, `layout` brings them together for one table, `rows` reads
one row by it. `text_tables`, `workbooks` and `archives` take files apart, `files` knows which is which. `runner` brings
a file into rows, applies and undoes them part by part, each a transaction of `actions`, whose SQL stands in
`statements`.
"""
