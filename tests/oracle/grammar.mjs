// One JSON string per line in, one JSON list of syntax errors per line out. argv[2]: folder that holds node_modules.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const home = resolve(process.argv[2]);
const at = (file) => pathToFileURL(file).href;
const grammar = createRequire(home + '/package.json').resolve('@griffithswaite/ts-plsql-parser');
const { PlSqlLexer, PlSqlParser } = await import(at(grammar));
const { CharStream, CommonTokenStream } = await import(at(home + '/node_modules/antlr4/dist/antlr4.node.mjs'));

function judge(statement) {
  const errors = [];
  const listener = {
    syntaxError: (_r, _s, line, column, message) => errors.push(`${line}:${column} ${message}`),
    reportAmbiguity() {}, reportAttemptingFullContext() {}, reportContextSensitivity() {},
  };
  const lexer = new PlSqlLexer(new CharStream(statement + ';'));
  const parser = new PlSqlParser(new CommonTokenStream(lexer));
  for (const part of [lexer, parser]) { part.removeErrorListeners(); part.addErrorListener(listener); }
  parser.buildParseTrees = false;
  try { parser.sql_script(); } catch (problem) { errors.push(String(problem)); }
  return errors;
}
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(judge(JSON.parse(line))) + '\n');
}
