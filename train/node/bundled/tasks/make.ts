// `node train/node/bundled/tasks/make.ts`: writes the five small data sets beside it, one for each kind of task, always the
// same. Phrases were written by hand; a third of those in a test set are nowhere in its training set.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Random, stream } from '../../../random.ts'

const SIZES = { train: 400, test: 120 } as const
type Split = keyof typeof SIZES

/** Phrases for training, and for the test these and others that are never seen there. */
interface Phrases { readonly train: readonly string[], readonly test: readonly string[] }

const lines = (text: string): string[] => text.trim().split('\n').map(line => line.trim())
/** The last third is for the test alone. */
const split = (text: string): Phrases => {
  const all = lines(text)
  const kept = Math.ceil(all.length * 2 / 3)
  return { train: all.slice(0, kept), test: all }
}
const pick = <T>(random: Random, from: readonly T[]): T => from[random.below(from.length)]

const OPENINGS = split(`
  I saw this on a quiet evening.
  My sister recommended it.
  It ran at the small cinema near the station.
  We watched it twice.
  Nobody had told me what it was about.
  The poster says little.
  It came out in the spring.
  I had read the book before.
  A friend lent me the disc.`)

const GENRES: Readonly<Record<string, Phrases>> = {
  horror: split(`
    A family moves into a house where the cellar door will not stay shut
    Something in the woods kills the campers one by one
    The dead rise from the graves behind the chapel and hunt the living
    A haunted doll whispers to the child every night
    A killer in a mask stalks the students through the dark school
    The ghost of a drowned girl drags her victims into the lake
    A demon takes the priest and the blood runs down the altar
    Vampires feed on a village that the snow has cut off
    Zombies break through the hospital doors and nobody gets out alive`),
  romance: split(`
    Two strangers share a train and fall in love before the last stop
    She returns home for a wedding and meets the man she once wanted to marry
    A shy baker writes love letters to the woman upstairs
    They kiss in the rain and promise to meet again in a year
    A widow learns to love again when a gardener moves next door
    He crosses the ocean to ask her to marry him
    Two rivals at a flower shop slowly lose their hearts to each other
    Her boyfriend leaves and his best friend has loved her all along
    A couple who divorced fall for each other at their daughter's wedding`),
  'science fiction': split(`
    A crew on a spaceship wakes up three hundred years too late
    Robots build a city on the moon and refuse to let humans in
    A scientist opens a door to the future and cannot close it
    Aliens land in a field and ask for one child
    The last computer on earth begins to dream
    A colony on Mars loses contact with the planet it came from
    An android learns that its memory belongs to somebody else
    A signal from a distant star tells the engineers how to build a machine
    Time travel is a job and one agent meets herself in space`),
  crime: split(`
    A detective with one week left on the job finds a body in the canal
    Four thieves plan to rob the bank below the police station
    A lawyer defends the man who murdered her brother
    The police follow a stolen car into a web of corruption
    A gangster wants to leave the mob and the mob says no
    An honest cop hides the evidence that would convict his partner
    The robbery goes wrong and one of the gang is an informer
    A private detective is hired to find a husband who is in prison
    A murder in a locked office has seven suspects and no weapon`),
}

const ASPECTS: Readonly<Record<string, Phrases>> = {
  acting: split(`
    the acting is convincing
    every actor is at the top of the game
    the lead performance is a wonder
    the cast plays it with real feeling
    both actresses are superb
    his performance stays with you`),
  music: split(`
    the score is lovely
    the songs are worth the ticket
    the music lifts every scene
    I went home humming the soundtrack
    the piano theme is beautiful
    the singing is glorious`),
  photography: split(`
    the photography is stunning
    every shot looks like a painting
    the camera work is elegant
    the images of the coast are gorgeous
    the colours and the light are a pleasure
    the visual style is striking`),
  writing: split(`
    the script is clever
    the dialogue is sharp
    the writing is full of wit
    the story is well told
    the screenplay wastes no word
    the plot is neatly written`),
  humour: split(`
    it is very funny
    I laughed until I cried
    the jokes land
    the comedy is dry and quick
    it has more laughs than any film this year
    the gags are hilarious`),
}

/** A phrase and how many stars it is worth, from −2 to 2. */
const VERDICTS: Readonly<Record<string, Phrases>> = {
  '-2': split(`
    an awful waste of time
    terrible from the first minute
    the worst film of the year
    unwatchable and dull
    a complete disaster
    horrible in every way`),
  '-1': split(`
    rather boring
    a weak and predictable story
    disappointing in the end
    too long and a little flat
    mostly forgettable
    poor in too many places`),
  0: split(`
    neither good nor bad
    an average film
    fine for a rainy day
    it is all right
    nothing special and nothing wrong
    it passes the time`),
  1: split(`
    rather good
    an enjoyable film
    well made and pleasant
    I liked most of it
    a nice surprise
    solid and entertaining`),
  2: split(`
    a masterpiece
    brilliant from start to finish
    the best film I have seen in years
    absolutely wonderful
    perfect in every way
    an excellent and moving work`),
}

/** Questions, and what answers each. */
const QUESTIONS: readonly { readonly ask: Phrases, readonly answer: Phrases }[] = [
  { ask: split(`
      Who directed it?
      Who is the director?
      Do you know who directed this film?`),
    answer: split(`
      A young director from Ghent made it, her second film.
      It was directed by a man who used to make commercials.
      The director is the one who made the series about the harbour.
      The same director did the film about the lighthouse.
      Two sisters directed it together.
      An actor directed it, his first time behind the camera.`) },
  { ask: split(`
      How long is it?
      What is the running time?
      How many minutes does it run?`),
    answer: split(`
      It runs for two hours and ten minutes.
      Just under ninety minutes.
      Almost three hours, with no break.
      About a hundred minutes with the credits.
      It is an hour and a half long.
      The long version has a hundred and forty minutes.`) },
  { ask: split(`
      Where was it filmed?
      In which place did they shoot it?
      Where were the outdoor scenes shot?`),
    answer: split(`
      They shot it on an island in the north sea.
      It was filmed in an old factory outside the city.
      Most scenes were shot in the mountains near the border.
      The village in it is a real place on the coast.
      All of it was filmed in one street in London.
      The desert scenes were shot in a quarry.`) },
  { ask: split(`
      Who wrote the music?
      Who is the composer?
      Who did the score?`),
    answer: split(`
      The music is by a jazz pianist.
      A composer from Oslo wrote the score for strings.
      The songs were written by the lead actor.
      An organist composed the music in a week.
      The score is old dance music, played by a small band.
      Her brother wrote the music for it.`) },
]

const FIRST = { train: lines('Mara\nTobias\nElena\nJonas\nPriya\nAmadou\nIngrid\nLucas\nHana\nOscar\nNadia\nViktor'), test: lines('Selma\nRafael\nYuki\nBenno\nClara\nIdris') }
const LAST = { train: lines('Lindqvist\nOkafor\nBrandt\nMoreau\nTanaka\nRossi\nKeller\nNovak\nHaddad\nSilva'), test: lines('Petrov\nDuarte\nVogel\nAbebe\nMarsh') }
const PLACE = { train: lines('Lisbon\nOslo\nGhent\nKyoto\nDakar\nTurin\nLima\nRiga\nCairo\nBergen'), test: lines('Porto\nSplit\nNairobi\nHanoi\nBasel') }
const SENTENCES = split(`
  {P} plays a nurse who leaves {L} for good .
  The film was shot in {L} by {P} .
  In {L} the critics loved {P} .
  {P} and {P} met on the set in {L} .
  The director , {P} , grew up near {L} .
  Nobody in {L} had heard of {P} before .
  {P} wrote the script on a train to {L} .
  A cousin of {P} runs the cinema in {L} .
  It opened in {L} , where {P} was born .
  The scenes with {P} were cut in {L} .
  After the premiere in {L} we talked to {P} .
  {P} never went back to {L} .`)

function genre(random: Random, set: Split): object {
  const label = pick(random, Object.keys(GENRES))
  const parts = [`${pick(random, GENRES[label][set])}.`]
  if (random.below(2)) parts.splice(random.below(2), 0, pick(random, OPENINGS[set]))
  return { text: parts.join(' '), genre: label }
}

function aspects(random: Random, set: Split): object {
  const chosen = random.shuffle(Object.keys(ASPECTS)).slice(0, random.below(4))
  const said = random.shuffle([...chosen]).map(aspect => pick(random, ASPECTS[aspect][set]))
  const text = said.length === 0 ? 'I have nothing to praise in it.' : `I will say this: ${said.join(', and ')}.`
  return { text: `${pick(random, OPENINGS[set])} ${text}`, praised: chosen.sort() }
}

function rating(random: Random, set: Split): object {
  const values = [pick(random, Object.keys(VERDICTS)), pick(random, Object.keys(VERDICTS))]
  const [first, second] = values.map(value => pick(random, VERDICTS[value][set]))
  const stars = 3 + (Number(values[0]) + Number(values[1])) / 2
  return { text: `${pick(random, OPENINGS[set])} My view: ${first}. My friend's: ${second}.`, stars }
}

function answer(random: Random, set: Split): object {
  const asked = random.below(QUESTIONS.length)
  const fits = random.below(2) === 1
  const other = (asked + 1 + random.below(QUESTIONS.length - 1)) % QUESTIONS.length
  return {
    question: pick(random, QUESTIONS[asked].ask[set]), answer: pick(random, QUESTIONS[fits ? asked : other].answer[set]),
    label: fits ? 'answers' : 'does not answer',
  }
}

function names(random: Random, set: Split): object {
  const tokens: string[] = []
  const tags: string[] = []
  const put = (words: readonly string[], kind?: string): void => words.forEach((word, i) => {
    tokens.push(word)
    tags.push(kind ? `${i === 0 ? 'B' : 'I'}-${kind}` : 'O')
  })
  for (const word of pick(random, SENTENCES[set]).split(' ')) {
    if (word === '{P}') put([pick(random, FIRST[set]), ...random.below(3) ? [pick(random, LAST[set])] : []], 'PER')
    else if (word === '{L}') put([pick(random, PLACE[set])], 'LOC')
    else put([word])
  }
  return { tokens, tags }
}

const csv = (value: unknown): string => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value))
const table = (delimiter: string) => (rows: readonly object[]): string =>
  [Object.keys(rows[0]), ...rows.map(row => Object.values(row) as unknown[])].map(row => row.map(csv).join(delimiter)).join('\n') + '\n'
const jsonLines = (rows: readonly object[]): string => rows.map(row => `${JSON.stringify(row)}\n`).join('')

const SETS: readonly { readonly name: string, readonly ending: string, readonly make: (random: Random, set: Split) => object, readonly write: (rows: readonly object[]) => string }[] = [
  { name: 'genres', ending: 'csv', make: genre, write: table(',') },
  { name: 'aspects', ending: 'jsonl', make: aspects, write: jsonLines },
  { name: 'ratings', ending: 'tsv', make: rating, write: table('\t') },
  { name: 'answers', ending: 'json', make: answer, write: rows => `[\n${rows.map(row => JSON.stringify(row)).join(',\n')}\n]\n` },
  { name: 'names', ending: 'ndjson', make: names, write: jsonLines },
]

for (const { name, ending, make, write } of SETS) {
  const folder = join(import.meta.dirname, name)
  mkdirSync(folder, { recursive: true })
  for (const set of ['train', 'test'] as const) {
    const random = stream(1, `${name} ${set}`)
    const seen = new Map<string, object>()
    for (let tries = 0; seen.size < SIZES[set] && tries < 100 * SIZES[set]; tries++) {
      const row = make(random, set)
      seen.set(JSON.stringify(Object.values(row)[0]) + JSON.stringify(Object.values(row)[1]), row)
    }
    writeFileSync(join(folder, `${set}.${ending}`), write([...seen.values()]))
  }
}
