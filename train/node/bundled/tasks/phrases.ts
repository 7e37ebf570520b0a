// What the five small data sets are made of: phrases written for this repository, about films that do not exist. Each
// list has two parts with no phrase in common.

export interface Phrases {
  /** For the training and the test set. */
  readonly known: readonly string[]
  /** For `new-phrases/`: no training text contains one. */
  readonly unseen: readonly string[]
}

const lines = (text: string): string[] =>
  text
    .trim()
    .split('\n')
    .map(line => line.trim())
const words = (text: string): string[] => text.trim().split(/\s+/)
const phrases = (known: string, unseen: string): Phrases => ({ known: lines(known), unseen: lines(unseen) })
const names = (known: string, unseen: string): Phrases => ({ known: words(known), unseen: words(unseen) })

/** Sentences that say nothing about the label. */
export const OPENINGS = phrases(
  `
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
  The hall was half empty.`,
  `
  A neighbour gave me a spare ticket.
  Rain kept us indoors that day.
  Last month it was shown at our library.
  On the plane there was little else to choose from.
  By chance I came upon it in a shop.
  Before this I had never heard the title.`,
)

export const GENRES: Readonly<Record<string, Phrases>> = {
  horror: phrases(
    `
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
    A cannibal family invites the lost travellers to dinner`,
    `
    Whoever sleeps in room nine is dead by morning
    At midnight the corpses in the mortuary begin to move
    What the fishermen pull from the water still breathes, and it bites
    Children sing at night in an orphanage that burned down long ago
    After the seance the old woman speaks with a voice that is not hers
    Trapped in a tunnel, the tourists are eaten alive by rats
    Nobody believes the boy who sees dead people at the foot of his bed
    With a chainsaw in his hands the butcher waits behind the barn
    Each person in the photograph dies a bloody death
    Under the bandages the mummy is awake
    There are claw marks on the inside of the coffin
    Do not go down to the basement, because the demon is waiting`,
  ),
  romance: phrases(
    `
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
    Her heart belongs to a man she knows only from his letters`,
    `
    Over coffee and bad poetry, a librarian and a bus driver grow close
    Engaged to the wrong man, she meets the right one at the altar
    What starts as a bet between friends becomes a proposal
    For thirty years the neighbours have hidden how much they adore each other
    A florist is sent roses by somebody who will not sign the cards
    Until that evening on the beach neither of them had been kissed
    Ten dates in ten days is the plan, and by the last one she is in love
    Heartbroken after her divorce, she rents a cottage and meets a handsome vet
    To be with the dancer he gives up his title and his fiancee
    Their honeymoon is over before they dare to say what they feel
    There is a spark between the cook and her new waiter, and soon they are a couple
    Letters cross, trains are missed, and yet the sweethearts are united`,
  ),
  'science fiction': phrases(
    `
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
    The android and the astronaut repair the ship together`,
    `
    Sixty light years from home the engine fails
    Anyone who is older than forty is replaced by a machine
    Deep below the ice of Jupiter, divers discover a living city
    On board the station the oxygen is running out
    To repair the past, a physicist builds a tunnel into yesterday
    What fell from the sky was a probe from another solar system
    Cloned soldiers start to ask who they are
    After the satellites go dark, a programmer hears the network think
    It is the year 2400 and children are grown in tanks
    Little green visitors take over a petrol station and study mankind
    By swapping brains with a cyborg, the pilot survives the crash of her shuttle
    Gravity stops for one hour and an experiment is to blame`,
  ),
  crime: phrases(
    `
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
    Fingerprints on a gun lead the detective to her boss`,
    `
    Who poisoned the senator is what two weary investigators have to find out
    Behind the counter of the pawn shop lies a dead jeweller
    For a share of the loot the night watchman turns off the alarm
    Blackmailed by a crook, the mayor hires an assassin
    After eleven years in jail he wants revenge on those who betrayed him
    Bribes and a missing witness keep the young prosecutor awake
    It was meant to be a simple kidnapping, but the hostage is smarter than the crooks
    The alibi of the widow falls apart in court
    Smugglers hide diamonds in frozen fish, and customs are waiting for them
    With forged passports and a suitcase of cash, the couple runs from the FBI
    A burglar witnesses a murder and cannot report it
    Nothing links the five stabbings until a sergeant reads the old files`,
  ),
}

/** What is praised, each in a clause. */
export const ASPECTS: Readonly<Record<string, Phrases>> = {
  acting: phrases(
    `
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
    the star has never acted better`,
    `
    not one member of the cast puts a foot wrong
    you forget that these are people playing a part
    what a performance by the man who plays the uncle
    rarely have I seen a role played so truthfully
    everybody on screen acts with great care
    the two leads are a joy to watch`,
  ),
  music: phrases(
    `
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
    the tunes stay in your head`,
    `
    I bought the record the next day
    what stays with me is the melody at the end
    a wonderful band plays all the way through
    rarely has a composer served a film so well
    there are tunes that you will want to whistle
    I could listen to those violins for hours`,
  ),
  photography: phrases(
    `
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
    visually it is amazing`,
    `
    rarely has a desert been filmed so beautifully
    what a look it has, all gold and blue
    the man behind the camera is an artist
    each frame could hang in a museum
    there are views of the sea that take your breath away
    I loved how the night scenes were lit`,
  ),
  writing: phrases(
    `
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
    the screenplay is smart`,
    `
    somebody has thought hard about how people talk
    what a well built tale it is
    there is not a dull line in the script
    I did not see the twist coming
    each of the characters has been drawn with care
    rarely have I heard conversations so well written`,
  ),
  humour: phrases(
    `
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
    the whole hall was laughing`,
    `
    I had tears of laughter in my eyes
    what fun the silly scenes in the hotel are
    there is a joke in it that I still tell
    even my grumpy uncle was giggling
    rarely have I grinned so much
    you will chuckle from beginning to end`,
  ),
}

/** Openings of a text that praises something. */
export const PRAISES = phrases(
  `
  I will say this:
  What I liked:
  In short,
  To be fair,
  Where do I begin:
  As for the good parts,`,
  `
  Allow me one remark:
  This much is certain:
  Credit where it is due:`,
)

/** Texts that praise nothing. */
export const NO_PRAISE = phrases(
  `
  I have nothing to praise in it.
  Nothing in it stood out.
  I forgot it on the way home.
  There is little to say about it.
  I looked at my watch a lot.
  I would not see it again.`,
  `
  I can think of no reason to see it.
  It left no mark on me at all.
  We hardly spoke of it afterwards.`,
)

/** Opinions, from one star to five. */
export const VERDICTS: readonly Phrases[] = [
  phrases(
    `
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
    Ridiculous and horribly acted.`,
    `
    Never have I sat through such rubbish.
    Whoever made this should be ashamed.
    I would rather watch paint dry.
    What a horrible, worthless piece of junk.
    Do yourself a favour and stay away.
    Every single thing about it is dreadful.
    My eyes hurt from so much stupidity.
    Zero stars would be too many.`,
  ),
  phrases(
    `
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
    It tries hard and fails.`,
    `
    Sadly it never comes to life.
    Somewhere in there is a better film, but this one is dull.
    I kept checking how much was left.
    More work on the script would have helped.
    Little happens and I did not care.
    For what it promises, it delivers too little.
    The pace is sluggish and the dialogue is clumsy.
    I had hoped for something better.`,
  ),
  phrases(
    `
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
    It is okay for one evening.`,
    `
    You could do worse and you could do better.
    I have no strong feelings about it.
    Passable, but I will not remember it.
    As films go, this one is fair.
    There are good scenes and there are weak ones.
    Its first hour works, its second does not.
    Middle of the road stuff.
    Once is enough, though I was not bored.`,
  ),
  phrases(
    `
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
    A decent thriller that does its job well.`,
    `
    You will probably like it as much as I did.
    Not perfect, but very good company for an evening.
    For the most part it works very well.
    I was happy with it, and so were my friends.
    Warm, funny and nicely paced.
    There is much to like here.
    All in all a good piece of work.
    Go and see it if you can.`,
  ),
  phrases(
    `
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
    It is an incredible achievement.`,
    `
    Never before has a film touched me so deeply.
    Everything about it is extraordinary.
    I would not change a single frame.
    What a triumph, what a glorious piece of cinema.
    See it at once, it is a marvel.
    Words fail me, so great is this film.
    Nothing else this year comes close to it.
    Flawless acting, flawless directing, pure joy.`,
  ),
]

/** Two kinds of question, with answers to each. */
export const QUESTIONS: readonly { readonly ask: Phrases; readonly answer: Phrases }[] = [
  {
    ask: phrases(
      `
      Who directed it?
      Who is the director?
      Do you know who directed this film?
      Which director made it?
      Who directed this one?
      Has the director made other films?
      What is the director called?
      Who is it directed by?`,
      `
      Whom do we have to thank for directing it?
      I would like to know who made this film.
      Any idea whose film this is?
      Remind me who the director was.`,
    ),
    answer: phrases(
      `
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
      The star directed it.`,
      `
      Somebody who was a painter before she turned to film.
      That would be the woman from Dublin who also produced it.
      One of the cameramen took over and directed the rest.
      Nobody famous, a student of film.
      According to the credits, a couple from Oslo.
      The same man as last year, the one who won the prize.
      Her name is on the poster, she also made the film about the bees.
      Directing was the job of the writer himself.`,
    ),
  },
  {
    ask: phrases(
      `
      How long is it?
      What is the running time?
      How many minutes does it run?
      Is it a long film?
      How many hours does it take?
      How long does the film run?
      How long is the movie?
      Is it very long?`,
      `
      Does it take all evening?
      Tell me the length of it.
      If it starts at eight, when will we be out?
      Can I watch it in under two hours?`,
    ),
    answer: phrases(
      `
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
      Long, about three hours.`,
      `
      Plan for a bit more than two and a half hours.
      The disc says ninety-six minutes.
      Quite short, I was home within an hour and a quarter.
      With the interval you need three hours.
      Only seventy minutes or thereabouts.
      You will be sitting there for a hundred and thirty minutes.
      Long enough, two hours at least.
      A little under an hour and three quarters.`,
    ),
  },
]

/** First names, last names and places. */
export const FIRST = names(
  `
  Mara Tobias Elena Jonas Priya Amadou Ingrid Lucas Hana Oscar Nadia Viktor Anna Peter Maria David Laura John Mary Tom
  Kate Robert Alice George Sofia Paul Julia Martin Emma Simon Lena Marco Fatima Arjun Greta Pablo Nora Ivan Rosa
  Henrik Aisha Daniel Michael Sarah Anton Carmen Felix Olga William Jane Bruno Ada Leon Mira Jacob Vera Hugo Ines Karl
  Petra`,
  `
  Tariq Beatriz Gunnar Wanda Diego Mei Ronan Agnes Bilal Helga Stella Matteo Irina Kofi Louise Edgar`,
)
export const LAST = names(
  `
  Lindqvist Okafor Brandt Moreau Tanaka Rossi Keller Novak Haddad Silva Johnson Miller Brown Garcia Meyer Jensen
  Kowalski Martinez Smith Wilson Santos Ivanov Dubois Fischer Larsen Yamada Costa Wagner Sharma Andersen Romano
  Pereira Hoffman Taylor Nilsson Mancini Walker Becker Ortiz Lindberg Nyberg Holmgren Bergstrom Petersen Olsen Eriksen
  Markov Pavlova Smirnov Sokolova`,
  `
  Carvalho Nakamura Oduya Lehmann Fraser Bianchi Horvat Reyes Thompson Dupont Virtanen Mwangi Popov Gallagher Weber`,
)
export const PLACE = names(
  `
  Lisbon Oslo Ghent Kyoto Dakar Turin Lima Riga Cairo Bergen London Paris Berlin Rome Madrid Vienna Chicago Boston
  Texas Canada India Mexico Italy Sweden Dublin Prague Athens Warsaw Havana Bombay Tokyo Sydney Toronto Kenya Brazil
  Peru Naples Milan Geneva Munich Hamburg Frankfurt Salzburg Edinburgh Oxford Bradford Stamford Hartford Brighton
  Boulder Houston Princeton Wellington Kingston Nashville Louisville Brownsville Cambridge Birmingham Nottingham`,
  `
  Bogota Leipzig Seville Tunis Perth Krakow Quebec Jakarta Portugal Glasgow Marseille Bristol Accra Ireland Antwerp
  Memphis`,
)

/** Sentences about people ({P}) and places ({L}), split into words at spaces. */
export const SENTENCES = phrases(
  `
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
  A bank in {L} is robbed by {P} .`,
  `
  Whoever has been to {L} will smile at this film .
  Its maker , {P} , spent a year in {L} .
  What {P} does with so small a part is a marvel .
  Once more {P} has to save {L} .
  Somewhere between {L} and {L} the money is lost .
  Does anybody still remember {P} ?
  Tickets sold out in {L} within an hour .
  For {P} this was the last part of all .
  Rain falls on {L} while {P} packs a suitcase .
  Opposite {P} we see {P} as the mother .
  Without {P} it would be hard to bear .
  Even {P} , usually so good , looks tired .
  Not far from {L} a farmer finds a box .
  According to {P} the shoot in {L} took three weeks .
  None of it was easy to follow .
  Two sisters from {L} invite {P} to tea .`,
)
