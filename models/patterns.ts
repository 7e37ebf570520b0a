// Regular expressions that come from files and options, matched by RE2 (re2js): in time linear in the text, whatever
// the pattern, because nothing backtracks. What RE2 lacks for that reason is refused: look-around and back-references.
import { RE2JS, RE2JSException } from 're2js'
import { UserError } from '../engine/errors.ts'
import { show } from './show.ts'

/** Longest pattern, in UTF-16 units. */
const LONGEST = 2_000
/** Most instructions of one compiled pattern: `(a{100}){10}` has a thousand. */
const LARGEST = 10_000

/** A compiled regular expression in RE2's syntax. */
export class Pattern {
  /** As its author wrote it. */
  readonly source: string
  /** Instructions of the compiled pattern; a match costs at most this times the text's length. */
  readonly size: number
  readonly #compiled: RE2JS

  private constructor(source: string, compiled: RE2JS) {
    this.source = source
    this.size = compiled.programSize()
    this.#compiled = compiled
  }

  /**
   * Throws a UserError that begins with `where` and shows the pattern when RE2 can't take it, or when it is too large.
   */
  static compile(source: string, where: string): Pattern {
    return new Pattern(source, compileWithin(source, source, where))
  }

  /**
   * A pattern for the whole text or its end behind a dot, as PEFT matches the keys of `rank_pattern`. Throws as
   * `compile` does.
   */
  static compileSuffix(source: string, where: string): Pattern {
    // Alone first: `a)|(b` must not close the group that is put around it.
    compileWithin(source, source, where)
    return new Pattern(source, compileWithin(`(?:.*\\.)?(?:${source})`, source, where))
  }

  /** Whether the whole text matches. */
  matches(text: string): boolean {
    return this.#compiled.testExact(text)
  }

  /** Whether the text, or a part of it, matches. */
  test(text: string): boolean {
    return this.#compiled.test(text)
  }

  /** Where the parts that match begin and end, left to right, in UTF-16 units; none overlap, some may be empty. */
  *spans(text: string): Generator<readonly [start: number, end: number]> {
    const matcher = this.#compiled.matcher(text)
    while (matcher.find()) yield [matcher.start(), matcher.end()]
  }

  toString(): string {
    return `/${this.source}/`
  }
}

function compileWithin(expression: string, source: string, where: string): RE2JS {
  if (source.length > LONGEST) {
    throw new UserError(
      `${where}: a regular expression of ${source.length} characters; at most ${LONGEST} are supported`,
    )
  }
  let compiled: RE2JS
  try {
    compiled = RE2JS.compile(expression)
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error
    throw new UserError(
      `${where}: ${show(source)} is not a regular expression in RE2's syntax, ` +
        `which has no look-around and no back-references: ${error.message.replace(/^error parsing regexp: /, '')}`,
    )
  }
  if (compiled.programSize() > LARGEST) {
    throw new UserError(
      `${where}: ${show(source)} has ${compiled.programSize()} steps when its repetitions are written out; ` +
        `at most ${LARGEST} are supported`,
    )
  }
  return compiled
}
