// What the five small data sets are put together from: phrases written for this repository, about films that do not exist.
// Those of a training set and those of its test set are different ones, down to the last.

/** Phrases for training, and others for the test. */
export interface Phrases { readonly train: readonly string[], readonly test: readonly string[] }

const lines = (text: string): string[] => text.trim().split('\n').map(line => line.trim())
const words = (text: string): string[] => text.trim().split(/\s+/)
const phrases = (train: string, test: string): Phrases => ({ train: lines(train), test: lines(test) })
const names = (train: string, test: string): Phrases => ({ train: words(train), test: words(test) })

/** Sentences that say nothing of what is to be learnt. */
export const OPENINGS = phrases(`
  I saw this on a quiet evening.
  My sister recommended it.
  It ran at the small cinema near the station.
  We watched it twice.
  Nobody had told me what it was about.
  The poster says little.
  It came out in the spring.
  I had read the book before.
  A friend lent me the disc.
  I missed it when it was new.
  We rented it for the weekend.
  My father had seen it years ago.
  It was on television last night.
  I took the whole family along.
  The hall was half empty.`, `
  I caught it late on a Sunday.
  Somebody at work kept talking about it.
  It played for one week only.
  I knew nothing before it began.
  We had tickets for another film.
  I found it in a box at the market.`)

export const GENRES: Readonly<Record<string, Phrases>> = {
  horror: phrases(`
    A family moves into a house where the cellar door will not stay shut
    Something in the woods kills the campers one by one
    The dead rise from the graves behind the chapel and hunt the living
    A haunted doll whispers to the child every night
    A killer in a mask stalks the students through the dark school
    The ghost of a drowned girl drags her victims into the lake
    A demon takes the priest and blood runs down the altar
    Vampires feed on a village that the snow has cut off
    Zombies break through the hospital doors and nobody gets out alive
    The monster under the bed turns out to be real
    A witch who was burned there comes back for the children
    There is blood on the walls and nobody knows whose it is
    Screams come from the attic of the old house
    An evil spirit lives in the mirror and wants a new body
    The killer has an axe and the phone is dead
    A curse kills everyone who watches the tape
    Teenagers spend a night in a haunted asylum
    The creature in the swamp eats whoever comes near
    A werewolf is on the loose and the moon is full
    The grave is empty and something scratches at the window
    An exorcist is called too late and the demon speaks through the boy
    Gore and guts fly as the zombies get hungry
    A maniac hides bodies in the walls of his hotel
    She hears her dead husband breathing in the dark
    The vampire sleeps in a coffin below the church
    Every victim is found without eyes
    A slasher with plenty of blood and a very long knife
    The ghosts of the old house will not let the family leave
    Giant spiders crawl out of the grave and eat the town
    A terrifying night of screaming and running from a monster
    Satan himself answers when they play with the board
    The scarecrow walks at night and carries a knife
    He wakes up in a coffin and something is in there with him
    Corpses vanish from the morgue and then walk the streets
    A cannibal family invites the lost travellers to dinner`, `
    A possessed nun crawls along the ceiling
    The cemetery gates open and the zombies walk into town
    A masked maniac chases the screaming girls through the woods
    Blood drips from the ceiling and the ghost laughs
    The haunted house kills its visitors in the dark
    A vampire bites the doctor and the curse begins
    Something evil lives in the cellar and it is hungry
    The monster rips its victims apart and the gore never stops
    A demon haunts the babysitter until she screams
    Two campers find a grave in the woods and wake the dead
    A witch puts a curse on the house and the children vanish
    The killer leaves bodies hanging in the attic`),
  romance: phrases(`
    Two strangers share a train and fall in love before the last stop
    She returns home for a wedding and meets the man she once wanted to marry
    A shy baker writes love letters to the woman upstairs
    They kiss in the rain and promise to meet again in a year
    A widow learns to love again when a gardener moves next door
    He crosses the ocean to ask her to marry him
    Two rivals at a flower shop slowly lose their hearts to each other
    Her boyfriend leaves and his best friend has loved her all along
    A couple who divorced fall for each other at their daughter's wedding
    The bride runs away and finds the love of her life at the station
    He is rich, she is poor, and their love does not care
    A soldier comes home to the girl who waited for his letters
    They dance all night and in the morning she has to leave him
    A lonely teacher falls in love with the father of a pupil
    She must choose between two men who both adore her
    He has one summer to win her heart
    The romance begins with a stolen umbrella and ends with a kiss
    Two lovers meet in secret because their families hate each other
    A bachelor who swore never to marry meets the right woman
    She pretends to be his girlfriend and then it becomes true
    An old couple remembers how they fell in love
    He proposes on a bridge and she says yes in the last scene
    Their first date is a disaster and so is their second kiss
    The princess loves a sailor and gives up the crown for him
    A broken heart is mended by a man who sells flowers
    She finds the love letters that he never sent
    It is love at first sight for the nurse and the pilot
    A marriage of convenience turns into real passion
    Two people who hate each other are kissing by the end
    He waits for his sweetheart under the clock every Sunday
    The wedding is off until he tells her how he feels
    She has been single for years and then love knocks at the door
    A tender affair between a pianist and a married woman
    They were lovers once and meet again at forty
    Her heart belongs to a man she knows only from his letters`, `
    A bride and her first boyfriend meet again a week before the wedding
    She kisses a stranger and cannot forget him
    The shy pilot falls in love with a woman who sells flowers
    He wrote her love letters for ten years and never sent them
    A tender story of two lonely hearts who marry late in life
    Her husband has an affair and she finds a new love by the sea
    The lovers are parted by the war and find each other again
    He asks her to marry him on their first date
    Two single parents lose their hearts to each other
    A girlfriend for one summer becomes the love of his life
    She has to choose between her marriage and her passion for a sailor
    They fall for each other while they dance and end with a kiss`),
  'science fiction': phrases(`
    A crew on a spaceship wakes up three hundred years too late
    Robots build a city on the moon and refuse to let humans in
    A scientist opens a door to the future and cannot close it
    Aliens land in a field and ask for one child
    The last computer on earth begins to dream
    A colony on Mars loses contact with the planet it came from
    An android learns that its memory belongs to somebody else
    A signal from a distant star tells the engineers how to build a machine
    Time travel is a job and one agent meets herself in space
    The spaceship drifts past Mars with no fuel and no captain
    In the future all work is done by robots
    An alien hides among the scientists of a station on the moon
    Humans have left the earth and live on ships between the planets
    A time machine sends him back to the day before
    The computer that runs the colony wants to be human
    A clone finds the laboratory in which she was made
    The astronaut returns to earth and a thousand years have gone by
    Two planets fight over the last star that gives light
    A robot is accused of having feelings
    In space the crew hears a signal from a ship that was lost
    Aliens have watched the planet for ages and now they land
    The experiment opens a tunnel through space and time
    A new planet, a strange technology and an android captain
    Scientists send a machine to the centre of a star
    In a city of the future every thought is read by computers
    A comet is about to hit the earth and the astronauts must stop it
    The invasion comes from outer space and the lasers come out
    He travels through time to meet his own clone
    The robots rise against the scientist who built them
    An expedition to another galaxy finds a planet of machines
    The virtual world is better than the real one and nobody wants to leave
    Mutants live below a city that runs on nuclear power
    A spaceship full of sleeping people is woken by an alien
    The year is far in the future and water is on Mars only
    The android and the astronaut repair the ship together`, `
    An alien signal reaches the crew of a station near Mars
    A robot travels through time to save the planet
    The spaceship lands on a planet of androids
    Astronauts find a machine on the moon that is older than the earth
    In the future a computer decides who is human
    Scientists build a clone and send it into space
    A captain loses her ship and her crew to aliens
    The colony is run by robots and the humans are asleep
    A time machine breaks and the scientist is lost in the future
    The galaxy is at war and one android will not fight
    Technology from another planet turns the city into a laboratory
    An astronaut drifts through space with only a computer to talk to`),
  crime: phrases(`
    A detective with one week left on the job finds a body in the canal
    Four thieves plan to rob the bank below the police station
    A lawyer defends the man who murdered her brother
    The police follow a stolen car into a web of corruption
    A gangster wants to leave the mob and the mob says no
    An honest cop hides the evidence that would convict his partner
    The robbery goes wrong and one of the gang is an informer
    A private detective is hired to find a husband who is in prison
    A murder in a locked office has seven suspects and no weapon
    The inspector knows who did it and cannot prove it
    A drug dealer offers the police a deal
    Two cops chase a bank robber across the border
    The mafia boss wants his money back by Friday
    A hit man is paid to shoot his own brother
    A prisoner plans his escape with the help of a guard
    The jewels are stolen and every guest is a suspect
    The gang steals a truck full of gold
    A judge takes a bribe and the witness disappears
    The detective drinks and the case gets cold
    A corrupt policeman works for both gangs
    The heist is planned for months and fails in a minute
    The accountant of the mob has decided to talk to the police
    She is framed for murder and runs from the law
    A thief breaks into the villa of a dangerous gangster
    An undercover agent gets too close to the drug lord
    The trial begins and the main witness is shot
    A con man cheats a rich widow out of her money
    The sheriff investigates the murder of a banker
    Someone robs the casino and the gangsters blame each other
    Two brothers sell drugs until one of them is arrested
    The killer of the mayor is behind bars and innocent
    A retired cop takes one last case
    The blackmail begins with a photo and ends in jail
    A gang of car thieves is hunted by a clever inspector
    Fingerprints on a gun lead the detective to her boss`, `
    A detective and a thief hunt the same gangster
    The bank is robbed and the police suspect the guard
    A lawyer finds evidence that her boss takes bribes from the mob
    A cop is shot and his partner investigates the case alone
    The heist goes wrong and the gang hides with the stolen money
    The witness of a murder is hunted by two corrupt policemen
    A prisoner knows where the stolen jewels are
    The inspector arrests the wrong suspect in a drug case
    The mafia wants the accountant dead before the trial
    A con man is framed for a robbery
    An undercover cop falls in with a gang of bank robbers
    A private detective follows a drug dealer to the border`),
}

/** What is praised, each in a clause. */
export const ASPECTS: Readonly<Record<string, Phrases>> = {
  acting: phrases(`
    the acting is convincing
    every actor is at the top of the game
    the lead performance is a wonder
    the cast plays it with real feeling
    both actresses are superb
    his performance stays with you
    the actors make you believe every word
    the whole cast is strong
    she gives the performance of her life
    the acting carries the film
    the old actor is magnificent
    the supporting cast is very good
    the children act better than most adults
    the star has never acted better`, `
    the performances are excellent
    the acting is great from everyone
    the cast is wonderful
    the leading actress is terrific
    the actors are perfect in their roles
    it has a fine performance by the old star`),
  music: phrases(`
    the score is lovely
    the songs are worth the ticket
    the music lifts every scene
    I went home humming the soundtrack
    the piano theme is beautiful
    the singing is glorious
    the music fits every moment
    the soundtrack is one to buy
    the songs are catchy
    the orchestra sounds rich
    the title song is a joy
    the score builds up the tension
    she sings like an angel
    the tunes stay in your head`, `
    the music is wonderful
    the soundtrack is superb
    the songs are great
    there is beautiful music all through it
    the score is perfect for it
    the singing of the choir is moving`),
  photography: phrases(`
    the photography is stunning
    every shot looks like a painting
    the camera work is elegant
    the images of the coast are gorgeous
    the colours and the light are a pleasure
    the visual style is striking
    the cinematography deserves a prize
    the landscape shots are beautiful
    the camera moves like a dancer
    the pictures of the city at night are lovely
    it is a feast for the eyes
    the lighting is superb
    the black and white images are rich
    visually it is amazing`, `
    the cinematography is superb
    the camera work is great
    the images are beautiful
    the shots of the mountains are amazing
    the colours are lovely to look at
    it is visually stunning`),
  writing: phrases(`
    the script is clever
    the dialogue is sharp
    the writing is full of wit
    the story is well told
    the screenplay wastes no word
    the plot is neatly written
    the plot has a clever twist
    the lines are well written
    the dialogue sounds like real people
    the script treats you as an adult
    the story keeps you guessing
    the characters are well written
    the writer knows how to build a story
    the screenplay is smart`, `
    the script is excellent
    the dialogue is well written
    the story is clever and neatly told
    the screenplay is sharp
    the writing is smart
    the plot keeps you guessing to the end`),
  humour: phrases(`
    it is very funny
    I laughed until I cried
    the jokes land
    the comedy is dry and quick
    it has more laughs than any film this year
    the gags are hilarious
    the humour is never cruel
    we could not stop laughing
    it is full of good jokes
    the funny scenes are really funny
    it made me laugh out loud
    the comic timing is right
    it is hilarious in places
    the whole hall was laughing`, `
    the jokes are hilarious
    I laughed all the way through
    the humour is dry
    it is a very funny comedy
    it made us all laugh
    the gags are funny`),
}

/** How an account of what is praised begins. */
export const PRAISES = phrases(`
  I will say this:
  What I liked:
  In short,
  To be fair,
  Where do I begin:
  As for the good parts,`, `
  My notes say:
  On the way home we agreed:
  For me,`)

/** Sentences of those who praise nothing. */
export const NO_PRAISE = phrases(`
  I have nothing to praise in it.
  Nothing in it stood out.
  I forgot it on the way home.
  There is little to say about it.
  I looked at my watch a lot.
  I would not see it again.`, `
  There is nothing that I would praise.
  I do not remember much of it.
  Nothing about it was special.`)

/** Opinions by the stars that they are worth. */
export const VERDICTS: readonly Phrases[] = [phrases(`
    An awful waste of time.
    It is terrible from the first minute.
    This is the worst film of the year.
    Unwatchable, dull and badly made.
    A complete disaster.
    It is horrible in every way.
    Pure garbage.
    I hated every minute of it.
    The acting is awful and the story is worse.
    I want my money back.
    One of the worst things I have ever seen.
    Stupid, ugly and insulting.
    Avoid this at all costs.
    It is so bad that I walked out.
    A pathetic mess.
    Absolute crap from start to finish.
    I cannot believe how terrible it is.
    There is not one good thing in it.
    Don't waste your time.
    The worst acting I have ever seen.
    It is an insult to the audience.
    Ridiculous and horribly acted.`, `
    It is awful and I hated it.
    A terrible, stupid mess.
    The worst movie that I have ever seen.
    A horrible waste of money.
    Avoid this garbage.
    It is a disaster and an insult.
    Unbelievably bad acting and a ridiculous story.
    I walked out, it was that terrible.`), phrases(`
    Rather boring, I am afraid.
    A weak and predictable story.
    It was disappointing in the end.
    It is too long and a little flat.
    Mostly forgettable.
    It is poor in too many places.
    The plot is thin and slow.
    I expected more than this.
    It drags and it never gets going.
    Below average.
    The jokes fall flat and the ending is weak.
    Not very good.
    A bit of a letdown.
    I lost interest after an hour.
    It is a tired idea and it shows.
    The characters are dull.
    It could have been much better.
    I was bored for long parts of it.
    Disappointing, with a silly ending.
    It lacks suspense and it lacks life.
    The script is lazy.
    It tries hard and fails.`, `
    A boring and forgettable film.
    It was a disappointment.
    The story is weak and the pace is slow.
    Too predictable and a bit dull.
    I was rather bored and expected better.
    It fails in too many places.
    The script is poor and the characters are flat.
    Not good, with a thin plot.`), phrases(`
    It is neither good nor bad.
    An average film.
    Fine for a rainy day.
    It is all right.
    Nothing special and nothing wrong with it.
    It passes the time.
    It has its moments, but not many.
    Some parts work and some do not.
    So so.
    I did not mind it.
    It is okay, no more than that.
    A mixed bag.
    Not great, but not bad either.
    It is watchable.
    Half of it is good and half of it is not.
    An ordinary film.
    It is about what you would expect.
    I liked it a little and forgot it.
    Decent enough, if you have nothing else to do.
    Good ideas, but uneven.
    Right in the middle for me.
    It is okay for one evening.`, `
    An okay film, nothing special.
    It is average and passes the time.
    Not bad, but not great.
    Some of it is good and some of it is not.
    It is all right for a rainy evening.
    It was watchable and ordinary.
    A mixed film with a few moments.
    Neither very good nor very bad.`), phrases(`
    It is rather good.
    An enjoyable film.
    Well made and pleasant.
    I liked most of it.
    A nice surprise.
    Solid and entertaining.
    A good story, well acted.
    I had a good time.
    It is fun and it moves along nicely.
    Worth seeing.
    Better than I expected.
    Good acting and some fine scenes.
    I enjoyed it more than I thought I would.
    A charming little film.
    It is clever and quite funny.
    I would recommend it to most people.
    A strong cast and a good script.
    It kept me interested to the end.
    Pretty good, with a nice ending.
    Very watchable and often funny.
    An entertaining evening.
    A decent thriller that does its job well.`, `
    A good and entertaining film.
    I enjoyed it and would recommend it.
    It is well acted and fun.
    A pleasant film with a nice ending.
    Pretty good, and better than I thought.
    A solid story and a strong cast.
    I liked it, it is worth seeing.
    It is charming and quite clever.`), phrases(`
    A masterpiece.
    Brilliant from start to finish.
    It is the best film I have seen in years.
    Absolutely wonderful.
    Perfect in every way.
    An excellent and moving work.
    I loved every minute of it.
    One of the greatest films ever made.
    Stunning, beautiful and unforgettable.
    An amazing film with superb acting.
    I cannot praise it enough.
    Ten out of ten.
    It is a classic and it deserves to be.
    The performances are outstanding.
    A truly great film.
    It is breathtaking.
    My favourite film of all time.
    Simply magnificent.
    I was in tears, it is so beautiful.
    You must see this fantastic film.
    Superb in every respect.
    It is an incredible achievement.`, `
    A brilliant masterpiece.
    It is one of the best films ever made.
    I loved it, it is perfect.
    Wonderful, moving and beautiful.
    The acting is superb and the film is amazing.
    An outstanding film and an instant classic.
    Absolutely excellent, my favourite of the year.
    A magnificent and unforgettable work.`)]

/** Questions of two kinds, and what answers each. */
export const QUESTIONS: readonly { readonly ask: Phrases, readonly answer: Phrases }[] = [
  { ask: phrases(`
      Who directed it?
      Who is the director?
      Do you know who directed this film?
      Which director made it?
      Who directed this one?
      Has the director made other films?
      What is the director called?
      Who is it directed by?`, `
      Who directed this movie?
      What is the name of the director?
      Which director is behind it?
      Who was the director of the film?`),
    answer: phrases(`
      A young director from Ghent made it, her second film.
      It was directed by a man who used to make commercials.
      The director is the one who made the series about the harbour.
      The same director did the film about the lighthouse.
      Two sisters directed it together.
      An actor directed it, his first time behind the camera.
      A famous director from Japan.
      It is directed by a newcomer.
      The director is unknown outside of his country.
      A woman directed it, and she wrote it too.
      Its director died before it was released.
      The director made only this one film.
      Her husband directed it.
      It was directed by an old master.
      The man who directed it is a former cop.
      Some director of videos.
      It was directed by two brothers.
      The director is the father of the star.
      A director whom nobody knows.
      It is directed by the man who plays the cop.
      He directed it himself.
      The same woman directed both parts.
      A great director, his last film.
      The star directed it.`, `
      It was directed by a young woman.
      A director who had made two films before.
      The director is a friend of the star.
      Two actors directed it.
      An old director from London made it.
      The man who directed the series directed this, too.
      She directed it alone.
      It is directed by a famous master.`) },
  { ask: phrases(`
      How long is it?
      What is the running time?
      How many minutes does it run?
      Is it a long film?
      How many hours does it take?
      How long does the film run?
      How long is the movie?
      Is it very long?`, `
      How long does it run?
      How many minutes is it?
      Is it long?
      How many hours is the film?`),
    answer: phrases(`
      It runs for two hours and ten minutes.
      Just under ninety minutes.
      Almost three hours, with no break.
      About a hundred minutes with the credits.
      It is an hour and a half long.
      The long version has a hundred and forty minutes.
      Two hours.
      Not long at all, eighty minutes.
      It takes an hour and twenty minutes.
      Some minutes more than two hours.
      Very long, nearly four hours.
      It is short, only an hour.
      Ninety minutes without the credits.
      Over three hours in the long version.
      One hour and fifty minutes, I think.
      It feels like five hours, but it is two.
      Less than ninety minutes.
      Two hours and a half.
      It is three hours long.
      A hundred and ten minutes.
      An hour, no more.
      It runs a little over two hours.
      Seventy minutes, so it is not long.
      Long, about three hours.`, `
      About two hours.
      It is eighty minutes long.
      Nearly three hours, a very long film.
      An hour and forty minutes.
      It runs for a hundred minutes.
      A short one, just over an hour.
      It is long, almost four hours.
      Ninety minutes.`) },
]

/** First names, last names and places. */
export const FIRST = names(`
  Mara Tobias Elena Jonas Priya Amadou Ingrid Lucas Hana Oscar Nadia Viktor Anna Peter Maria David Laura John Mary Tom
  Kate Robert Alice George Sofia Paul Julia Martin Emma Simon Lena Marco Fatima Arjun Greta Pablo Nora Ivan Rosa
  Henrik Aisha Daniel Michael Sarah Anton Carmen Felix Olga William Jane Bruno Ada Leon Mira Jacob Vera Hugo Ines Karl
  Petra`, `
  Selma Rafael Yuki Benno Clara Idris Helen James Martha Nils Lucia Omar Edith Stefan Ruth Karim`)
export const LAST = names(`
  Lindqvist Okafor Brandt Moreau Tanaka Rossi Keller Novak Haddad Silva Johnson Miller Brown Garcia Meyer Jensen
  Kowalski Martinez Smith Wilson Santos Ivanov Dubois Fischer Larsen Yamada Costa Wagner Sharma Andersen Romano
  Pereira Hoffman Taylor Nilsson Mancini Walker Becker Ortiz Lindberg Nyberg Holmgren Bergstrom Petersen Olsen Eriksen
  Markov Pavlova Smirnov Sokolova`, `
  Petrov Duarte Vogel Abebe Marsh Clark Schmidt Moretti Hansen Lopez Sato Baker Anderson Svensson Kuznetsova`)
export const PLACE = names(`
  Lisbon Oslo Ghent Kyoto Dakar Turin Lima Riga Cairo Bergen London Paris Berlin Rome Madrid Vienna Chicago Boston
  Texas Canada India Mexico Italy Sweden Dublin Prague Athens Warsaw Havana Bombay Tokyo Sydney Toronto Kenya Brazil
  Peru Naples Milan Geneva Munich Hamburg Frankfurt Salzburg Edinburgh Oxford Bradford Stamford Hartford Brighton
  Boulder Houston Princeton Wellington Kingston Nashville Louisville Brownsville Cambridge Birmingham Nottingham`, `
  Porto Split Nairobi Hanoi Basel Moscow France Denver Spain Seoul Venice Norway Manila Zurich Salisbury Asheville`)

/** Sentences about people ({P}) and places ({L}), of words apart by spaces. */
export const SENTENCES = phrases(`
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
  {P} never went back to {L} .
  {P} is very good as the doctor .
  I liked {P} more than {P} .
  The music is by {P} .
  It was written and directed by {P} .
  The story is set in {L} .
  We travel from {L} to {L} in a hurry .
  {P} lives in {L} with her brother .
  A lawyer from {L} hires {P} to find the money .
  With {P} , {P} and a dog .
  The winter in {L} looks cold .
  {P} falls in love with {P} .
  There is a long chase through {L} .
  Only {P} knows the way to {L} .
  {P} plays his brother .
  The best part is the one with {P} .
  Half of {L} turns up at the funeral .
  It begins in {L} and ends in {L} .
  My favourite scene has {P} alone in {L} .
  The star , {P} , was ill during the shoot .
  I have never been to {L} , but now I want to go .
  The script gives {P} nothing to do .
  They filmed the end near {L} .
  {P} steals the show .
  Why did {P} say yes to this ?
  People in {L} do not talk like that .
  The camera follows {P} through the streets of {L} .
  {P} was born in {L} and died in {L} .
  A boy from {L} wants to be like {P} .
  There is no real story here .
  I fell asleep after an hour .
  The ending makes no sense at all .
  Produced by {P} and {P} in {L} .
  {P} sings two songs .
  He drives to {L} to meet {P} .
  She left {L} because of {P} .
  Thanks to {P} the second half is funny .
  {P} plays a cop from {L} .
  {P} plays a widow in {L} .
  It was made in {L} by {P} .
  It was shot in {L} and on a farm near {L} .
  The film was written by {P} .
  The director is {P} .
  It is directed by {P} , who lives in {L} .
  I did not like the scenes with {P} .
  {P} is great as a thief from {L} .
  {P} moves to {L} and marries {P} .
  A journalist from {L} is looking for a story .
  {P} and {P} run a hotel near {L} .
  The critics did not like it .
  We saw it in a cinema in {L} .
  They live in {L} , but {P} wants to leave .
  The train to {L} is late .
  He was born near {L} .
  The streets of {L} are empty at night .
  {P} is bad and {P} is worse .
  I like {P} , but not in this film .
  The story is about {P} , a doctor in {L} .
  A bank in {L} is robbed by {P} .`, `
  {P} plays a teacher who moves to {L} .
  It was filmed in {L} and in {L} .
  The critics in {L} did not like {P} .
  I liked the scenes with {P} .
  The script is by {P} .
  {P} and {P} fall in love in {L} .
  A detective from {L} is looking for {P} .
  She lives near {L} with {P} .
  The director is {P} , who was born in {L} .
  We saw it in {L} .
  {P} is good , but {P} is better .
  They travel to {L} by train .
  The story begins in {L} , where {P} runs a bank .
  I did not like the end .
  The streets of {L} look lovely .
  It was directed by {P} in {L} .`)
