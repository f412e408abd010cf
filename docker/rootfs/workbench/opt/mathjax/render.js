// Reads a JSON list of formulas, {"tex": …, "display": true or false}, and writes the list of their SVG pictures.
const formulas = JSON.parse(require('fs').readFileSync(0, 'utf8'));

require('./es5/node-main.js')
  .init({
    loader: { load: ['adaptors/liteDOM', 'input/tex-full', 'output/svg'] },
    svg: { fontCache: 'none' },
  })
  .then((MathJax) => {
    const adaptor = MathJax.startup.adaptor;
    const pictures = formulas.map(({ tex, display }) =>
      adaptor.innerHTML(MathJax.tex2svg(tex, { display })));
    process.stdout.write(JSON.stringify(pictures));
  });
