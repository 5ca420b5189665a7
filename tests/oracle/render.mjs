// Renders MJML documents: a JSON array of them on stdin, a JSON array of HTML on stdout.
import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'

// The packages stand in the working folder, not beside this file.
const require = createRequire(`${process.cwd()}/package.json`)
const mjml2html = require('mjml')

const pages = []
for (const mjml of JSON.parse(await text(process.stdin))) {
  const { html } = await mjml2html(mjml, { validationLevel: 'strict', keepComments: false, fonts: {}, minify: false })
  pages.push(html)
}
process.stdout.write(JSON.stringify(pages))
