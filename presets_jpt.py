"""The presets by name, in the file format of `schema_jpt`. Made of schemas/*.yaml by `make presets`: edit those."""

import json
from typing import Any

PRESETS: dict[str, dict[str, Any]] = json.loads(r"""
{
 "ai-research": {
  "name": "ai-research",
  "version": "1.0",
  "description": "Papers, posts and talks on machine learning: what was built, on what, how it was judged, by whom.",
  "entity_types": [
   {
    "name": "model",
    "definition": "A particular trained system or model family by name, with size or version if given: GPT-4, ResNet-50, Llama 3 8B, AlphaFold. Not the general design behind it, such as transformer, and not the library that runs it.",
    "colour": "#ffd6a5"
   },
   {
    "name": "architecture",
    "definition": "A network design or building block in general, not one set of trained weights: transformer, convolutional layer, LSTM cell, mixture of experts, cross-attention. Not a released model such as BERT-large, and not a training objective.",
    "colour": "#a9c8ff"
   },
   {
    "name": "method",
    "definition": "A procedure or objective for training, searching or preparing data: contrastive loss, Adam, dropout, Q-learning, back-translation, beam search, low-rank adaptation. Not network parts, and not the problem that is being solved with it.",
    "colour": "#c9f2b0"
   },
   {
    "name": "problem",
    "definition": "What a system is asked to do, by its usual name: machine translation, object detection, protein folding, code completion. Not a whole discipline such as computer vision, and not a particular data set that tests it.",
    "colour": "#ffc2e8"
   },
   {
    "name": "data set",
    "definition": "A named collection of data or test suite used for training or evaluation: ImageNet, SQuAD 2.0, Common Crawl, MMLU. Not the problem it tests, not the measure reported on it, and not phrases such as our data.",
    "colour": "#fff3a3"
   },
   {
    "name": "measure",
    "definition": "The name of a quantity by which systems are judged: accuracy, BLEU, perplexity, mean average precision, latency, win rate. Only the name; the number that was reached is a result, and a loss to minimise is a method.",
    "colour": "#a8e6e1"
   },
   {
    "name": "result",
    "definition": "A number that was measured and reported, with its sign or unit: 91.3%, 28.4, 3.2x faster, 12 ms, +4.1 points. Not settings that authors chose, such as a learning rate, and not years or table numbers.",
    "colour": "#c9b8ff"
   },
   {
    "name": "software",
    "definition": "A library, framework, tool or coding language used to build or run systems: PyTorch, CUDA, scikit-learn, Weights & Biases, Rust. Not a trained model, and not the data or the machine it runs on.",
    "colour": "#ffb3ab"
   },
   {
    "name": "hardware",
    "definition": "A processor, machine or computing facility, with its number if given: A100, TPU v4 pod, 64 GPUs, Jetson Nano, the Frontier supercomputer. Not the software on it, and not an amount of time such as GPU hours.",
    "colour": "#dcc9a6"
   },
   {
    "name": "person",
    "definition": "A human by name, as author, inventor or speaker, also the surname in a citation: Fei-Fei Li, Hinton, Vaswani in \"Vaswani et al.\". Not roles such as the authors, and not systems named after people.",
    "colour": "#8fdcb0"
   },
   {
    "name": "institution",
    "definition": "A university, laboratory, company or funder by name: Stanford, Google DeepMind, Mila, the European Research Council. Not where a paper appeared, and not a product that carries the company's name.",
    "colour": "#ccd5de"
   },
   {
    "name": "venue",
    "definition": "Where work is published or presented: conference, workshop, journal, challenge or preprint server, such as NeurIPS 2023, JMLR or arXiv. Not the society that runs it, and not the city where it takes place.",
    "colour": "#e6e64d"
   }
  ]
 },
 "clinical": {
  "name": "clinical",
  "version": "1.0",
  "description": "Notes on patients: what is wrong, how it was found, what was done and given.",
  "entity_types": [
   {
    "name": "condition",
    "definition": "A disease, injury or disorder as a diagnosis, suspected or ruled out included: type 2 diabetes, hip fracture, COPD, query sepsis. Not what the patient merely feels, such as cough, and not a drug's unwanted effect.",
    "colour": "#ffd6a5"
   },
   {
    "name": "symptom",
    "definition": "What a patient complains of or an examiner notices, short of a diagnosis: chest pain, fever, shortness of breath, swollen ankle, crackles at both bases. Not named diseases, and not numbers from the laboratory.",
    "colour": "#a9c8ff"
   },
   {
    "name": "medication",
    "definition": "A drug, vaccine, infusion or supplement by brand, generic or class name: metformin, Lipitor, IV fluids, beta blocker. The name alone without strength or schedule. Not alcohol or street drugs, and not operations.",
    "colour": "#c9f2b0"
   },
   {
    "name": "dosage",
    "definition": "How much of a drug, how, how often and for how long: 500 mg, 2 puffs, by mouth, twice daily, for ten days, PRN. Not the drug's name, and not a measured value.",
    "colour": "#ffc2e8"
   },
   {
    "name": "procedure",
    "definition": "Something done to treat or support a patient: operation, dialysis, physiotherapy, intubation, wound dressing, such as appendectomy or stent placement. Not an examination that only looks or measures, and not giving a drug.",
    "colour": "#fff3a3"
   },
   {
    "name": "test",
    "definition": "An examination that looks or measures, by name only: chest X-ray, MRI of the knee, haemoglobin, blood pressure, ECG, biopsy. Not the value or picture that came out, and not operations that treat.",
    "colour": "#a8e6e1"
   },
   {
    "name": "test result",
    "definition": "What an examination showed, as value or short wording: 7.2 mmol/L, 140/90, positive, within normal limits, 3 cm nodule. Not the name of the test, not a dose, and not the diagnosis drawn from it.",
    "colour": "#c9b8ff"
   },
   {
    "name": "body part",
    "definition": "An organ, region, tissue or side of the body: left knee, lower lobe, aorta, skin of the scalp. When the word is part of a disease, test or operation, as in knee replacement, mark only the longer term.",
    "colour": "#ffb3ab"
   },
   {
    "name": "device",
    "definition": "A thing put in, on or next to the patient: pacemaker, urinary catheter, insulin pump, walking frame, cast, CPAP mask. Not scanners that only take pictures, and not the operation that puts it in.",
    "colour": "#dcc9a6"
   },
   {
    "name": "adverse effect",
    "definition": "Harm or allergy that the note blames on a drug, food or treatment: rash after amoxicillin, statin myalgia, peanut anaphylaxis, postoperative bleeding. Only the harm, not its cause. Not symptoms of the illness itself.",
    "colour": "#8fdcb0"
   },
   {
    "name": "patient trait",
    "definition": "Who the patient is or how they live: age, sex, weight, pregnancy, occupation, smoking, drinking, family history, such as 54-year-old, male, 20 pack-years, lives alone. Not diseases, and not names of staff or relatives.",
    "colour": "#ccd5de"
   },
   {
    "name": "time",
    "definition": "When something happened or is planned, or how long it has lasted: on admission, 3 March, two weeks ago, since childhood, for six months, postoperative day 2. Not how often a drug is taken, and not ages.",
    "colour": "#e6e64d"
   }
  ]
 },
 "contracts": {
  "name": "contracts",
  "version": "1.0",
  "description": "Agreements and terms of service: who owes what to whom, since when, how long, under which law.",
  "entity_types": [
   {
    "name": "party",
    "definition": "A person or company bound by the agreement, by full name or by its role in it: Acme Holdings Ltd., the Lessee, Supplier, \"you\" when defined so. Not the human who signs for a company, and not outsiders.",
    "colour": "#ffd6a5"
   },
   {
    "name": "signatory",
    "definition": "A human being who signs, witnesses or is the contact for a party, by name without the title: Jane Doe in \"Jane Doe, Director\". Not the company represented, and not a person who is a party.",
    "colour": "#a9c8ff"
   },
   {
    "name": "document",
    "definition": "The title or usual name of a legal paper, this one or another: Master Services Agreement, Annex B, Amendment No. 2, the Non-Disclosure Agreement. Not a statute, and not a numbered clause inside a paper.",
    "colour": "#c9f2b0"
   },
   {
    "name": "clause reference",
    "definition": "A pointer to a numbered part of an agreement or law: Section 4.2, Clause 12(b), Article V, paragraph 3 below. Not the title of a whole paper, and not the words of the clause itself.",
    "colour": "#ffc2e8"
   },
   {
    "name": "date",
    "definition": "A day, month or year on the calendar on which something is signed, starts, is due or ends: 1 March 2024, the last day of June 2026. Not a length of time such as thirty days.",
    "colour": "#fff3a3"
   },
   {
    "name": "period",
    "definition": "A length of time for which something runs or within which it must be done: thirty (30) days, an initial term of two years, each calendar quarter. Not a single calendar date.",
    "colour": "#a8e6e1"
   },
   {
    "name": "amount",
    "definition": "A sum, rate, fee, cap or share that is to be paid or counted: USD 10,000, 1.5% per month, a royalty of five per cent. Not quantities of goods, and not lengths of time.",
    "colour": "#c9b8ff"
   },
   {
    "name": "subject matter",
    "definition": "What is sold, leased, licensed or done: goods, premises, services or rights, such as 500 office chairs, the Licensed Software, Flat 3 or monthly cleaning. Not the payment for it, and not legal papers.",
    "colour": "#ffb3ab"
   },
   {
    "name": "duty",
    "definition": "What somebody must or must not do, as a verb phrase without shall: pay the fee, keep the records confidential, not assign this agreement. Not an option that somebody may use, and not mere statements of fact.",
    "colour": "#dcc9a6"
   },
   {
    "name": "trigger",
    "definition": "A circumstance on which a right or an ending depends, as a noun phrase: material breach, change of control, insolvency, late payment, force majeure. Not the consequence, and not a calendar date.",
    "colour": "#8fdcb0"
   },
   {
    "name": "law",
    "definition": "A statute, regulation, code or body of law: the Companies Act 2006, GDPR, Delaware law, the Civil Code. Not the court that applies it, and not another agreement between the parties.",
    "colour": "#ccd5de"
   },
   {
    "name": "place or court",
    "definition": "A state, city, address, court or tribunal: England and Wales, 12 Harbour Street in Rotterdam, the courts of New York, the ICC. Not the law of a place, and not a party seated there.",
    "colour": "#e6e64d"
   }
  ]
 },
 "general": {
  "name": "general",
  "version": "1.0",
  "description": "The kinds of names, times and amounts that most texts contain.",
  "entity_types": [
   {
    "name": "person",
    "definition": "A human being, real or fictional, given by name: full name, surname, nickname or initials, such as Marie Curie, Okafor, Sherlock Holmes or J.K. Not pronouns, and not a title or job on its own, such as the president.",
    "colour": "#ffd6a5"
   },
   {
    "name": "organization",
    "definition": "A named body of people that acts as one: company, agency, party, club, school, band or ministry, such as Siemens, UNICEF or Ajax. Not what it makes or sells, and not the building it occupies.",
    "colour": "#a9c8ff"
   },
   {
    "name": "location",
    "definition": "A named place: country, region, city, street, river, mountain, building or planet, such as Kenya, Lake Como or the Eiffel Tower. Not a team or company called after a place, and not directions such as upstairs.",
    "colour": "#c9f2b0"
   },
   {
    "name": "group",
    "definition": "A nationality, ethnic group, religion or political leaning, as a noun or an adjective: French, Yoruba, Buddhists, a Republican voter. Not the country itself, not a language, and not an organised body such as the Republican Party.",
    "colour": "#ffc2e8"
   },
   {
    "name": "date or time",
    "definition": "A point or stretch of time that can be placed on a calendar or clock: 4 May 2021, the 1990s, last Friday, 9 p.m., winter. Not a mere length of time such as two hours, and not an age.",
    "colour": "#fff3a3"
   },
   {
    "name": "event",
    "definition": "A happening known by a name of its own: war, festival, tournament, disaster, election or congress, such as the Battle of Hastings or Woodstock. Not the body that organises it, and not plain words such as meeting.",
    "colour": "#a8e6e1"
   },
   {
    "name": "product",
    "definition": "A thing made for sale or use, given by brand or model name: device, vehicle, drink, medicine or software, such as iPhone 15, Boeing 747, Aspirin or Photoshop. Not its maker, and not books, films or songs.",
    "colour": "#c9b8ff"
   },
   {
    "name": "work of art",
    "definition": "The title of a creative work: book, film, song, album, painting, play, series or game, such as Hamlet, Abbey Road or The Starry Night. Not its author, not a character in it, and not a newspaper.",
    "colour": "#ffb3ab"
   },
   {
    "name": "money",
    "definition": "An amount of money including its currency and words like about or more than: $5 million, 30 euros, over 200 yen, fifty cents. Not a currency without an amount, not a percentage, and not a bare number.",
    "colour": "#dcc9a6"
   },
   {
    "name": "quantity",
    "definition": "A measured or counted amount together with its unit, or a percentage: 12 km, 30 °C, three litres, two hours, 45 percent. Not money, not dates or clock times, and not a number without any unit.",
    "colour": "#8fdcb0"
   }
  ]
 },
 "job-ads": {
  "name": "job-ads",
  "version": "1.0",
  "description": "Vacancies and profiles: the post, what it asks for, what it offers.",
  "entity_types": [
   {
    "name": "job title",
    "definition": "What the post is called, with level and speciality: Senior Data Engineer, night shift nurse, head of procurement, plumber. Not the department, not duties such as managing stock, and not a degree that is asked for.",
    "colour": "#ffd6a5"
   },
   {
    "name": "employer",
    "definition": "The company, authority, school or agency that hires or for which somebody worked, by name: Bosch, St. Mary's Hospital, Randstad. Not software that bears a company's name, and not descriptions such as a leading retailer.",
    "colour": "#a9c8ff"
   },
   {
    "name": "workplace",
    "definition": "Where the work is done: city, country, site or arrangement such as remote, hybrid, two days in the Leeds office, 30% travel. Not where the employer was founded, and not the kind of contract.",
    "colour": "#c9f2b0"
   },
   {
    "name": "skill",
    "definition": "Something a person must know or be able to do, short of a named tool: bookkeeping, statistical modelling, arc welding, contract negotiation. Not traits of character, not products such as Excel, and not school degrees.",
    "colour": "#ffc2e8"
   },
   {
    "name": "tool or technology",
    "definition": "A named program, coding language, platform, machine or standard that is used at work: Excel, Python, SAP, AWS, forklift, ISO 9001. Not the general ability behind it, such as data analysis.",
    "colour": "#fff3a3"
   },
   {
    "name": "personal trait",
    "definition": "A quality of character or manner of working: reliable, team player, eye for detail, self-motivated, calm under pressure. Not knowledge that is taught, such as accounting, and not praise of the employer, such as dynamic company.",
    "colour": "#a8e6e1"
   },
   {
    "name": "qualification",
    "definition": "A degree, apprenticeship, licence or certificate that can be shown on paper: BSc in Physics, HGV licence, CPA, completed vocational training. Not years of practice, and not a skill without a paper for it.",
    "colour": "#c9b8ff"
   },
   {
    "name": "experience",
    "definition": "How much practice is asked for or was gained, and in what: 3+ years in logistics, at least two seasons, entry level, proven track record in sales. Not degrees, and not a start or end date.",
    "colour": "#ffb3ab"
   },
   {
    "name": "spoken language",
    "definition": "A human language, with the level if given: fluent German, C1 English, conversational Polish, native speaker of Arabic. Not a coding language such as Java, and not a nationality.",
    "colour": "#dcc9a6"
   },
   {
    "name": "pay",
    "definition": "What the work earns: salary, wage, range, bonus or commission, as figure or words, such as £32k to £38k, €15 an hour, competitive salary, sales bonus. Not other benefits, and not a company's turnover.",
    "colour": "#8fdcb0"
   },
   {
    "name": "benefit",
    "definition": "What is offered besides pay: 28 days of leave, company car, pension plan, free lunch, flexible hours, training budget. Not salary or commission, and not the kind of contract itself.",
    "colour": "#ccd5de"
   },
   {
    "name": "terms of employment",
    "definition": "Kind, extent or dates of the contract: full-time, permanent, 12-month maternity cover, 20 hours a week, freelance, internship, start in June, apply by 5 May. Not where the work is done, and not pay.",
    "colour": "#e6e64d"
   }
  ]
 },
 "music": {
  "name": "music",
  "version": "1.0",
  "description": "Music news, reviews, liner notes and requests to a player: who plays what, in which style, where, on which record.",
  "entity_types": [
   {
    "name": "performer",
    "definition": "A single person who sings, plays, raps, conducts or works as a DJ, by stage or civil name: Nina Simone, Yo-Yo Ma, Skrillex. Not groups, and not those credited only for writing or producing.",
    "colour": "#ffd6a5"
   },
   {
    "name": "ensemble",
    "definition": "Two or more musicians under one name: band, duo, choir, orchestra or quartet, such as Radiohead, Daft Punk or the Berlin Philharmonic. Not one member, and not a solo performer's unnamed backing band.",
    "colour": "#a9c8ff"
   },
   {
    "name": "writer or producer",
    "definition": "A person named in the role of composer, songwriter, lyricist, arranger, producer or engineer: Clara Schumann, Max Martin, Rudy Van Gelder. Not when named as the one who sings or plays.",
    "colour": "#c9f2b0"
   },
   {
    "name": "track",
    "definition": "The title of one song, single or recorded piece: Purple Rain as a song, Hey Jude, Take Five. Not the record that holds it, not a symphony or opera, and not a quoted line of lyrics.",
    "colour": "#ffc2e8"
   },
   {
    "name": "release",
    "definition": "The title of a record with several tracks: album, EP, mixtape, live set, compilation or soundtrack, such as Kind of Blue or Purple Rain as a record. Not one song, and not a tour of that title.",
    "colour": "#fff3a3"
   },
   {
    "name": "large work",
    "definition": "A composed work for stage, church or concert hall, or a movement of it: The Magic Flute, Symphony No. 5 in C minor, Mass in B minor, West Side Story. Not one pop song, and not a particular recording.",
    "colour": "#a8e6e1"
   },
   {
    "name": "style",
    "definition": "A kind of music or dance, or an adjective for it: bossa nova, trip hop, baroque, West Coast jazz, salsa, lo-fi. Not moods such as sad, not single tracks, and not instruments.",
    "colour": "#c9b8ff"
   },
   {
    "name": "instrument or voice",
    "definition": "What makes the sound, general or by maker: cello, Fender Rhodes, 808, tabla, soprano, backing vocals, string section. Not the one who plays it, such as drummer, and not studio rooms.",
    "colour": "#ffb3ab"
   },
   {
    "name": "label or studio",
    "definition": "A record company, publisher, imprint or recording place by name: Blue Note, Motown, Abbey Road Studios, Sub Pop. Not streaming services, not shops, and not a record that shares the studio's name.",
    "colour": "#dcc9a6"
   },
   {
    "name": "live event",
    "definition": "A named tour, festival, contest or particular concert: Glastonbury 2019, The Eras Tour, Eurovision, Live Aid. Not the hall or field where it happens, and not a prize that is won there.",
    "colour": "#8fdcb0"
   },
   {
    "name": "stage",
    "definition": "A place where music is played to an audience: concert hall, club, opera house, arena or park, such as La Scala, the Village Vanguard or Wembley. Not recording studios, and not just the city.",
    "colour": "#ccd5de"
   },
   {
    "name": "honour or chart",
    "definition": "A prize, nomination, certification or hit list, with place if given: Grammy for Best New Artist, double platinum, number one on the Billboard Hot 100, Rock and Roll Hall of Fame. Not a contest that one attends.",
    "colour": "#e6e64d"
   }
  ]
 },
 "news-politics": {
  "name": "news-politics",
  "version": "1.0",
  "description": "Who does what to whom in political news: people, posts, bodies, votes, laws and disputes.",
  "entity_types": [
   {
    "name": "public figure",
    "definition": "A person by name who holds, has held or seeks public power: head of state, minister, legislator, judge, monarch or candidate, such as Angela Merkel or Lula. Not the title in front of the name, and not witnesses, experts or reporters.",
    "colour": "#ffd6a5"
   },
   {
    "name": "other person",
    "definition": "Anyone else given by name: reporter, expert, activist, soldier, victim or relative, such as Greta Thunberg or a pollster who is quoted. Not people who hold or seek public power, and not unnamed people such as two protesters.",
    "colour": "#a9c8ff"
   },
   {
    "name": "public post",
    "definition": "A position of power as a role, whether or not its holder is named: prime minister, mayor of Lyon, attorney general, senator for Ohio. Not the holder's name, and not the department that the post leads.",
    "colour": "#c9f2b0"
   },
   {
    "name": "party or movement",
    "definition": "A party, faction, coalition or organised campaign by name or usual short form: the Greens, Tories, Likud, Solidarity, Black Lives Matter. Not a government in office, and not holders of a general leaning, such as liberals.",
    "colour": "#ffc2e8"
   },
   {
    "name": "state body",
    "definition": "A body of one state: parliament, ministry, agency, court, city council, police or army, such as the Senate, the Home Office or the FBI. Not parties, and not bodies that several states share.",
    "colour": "#fff3a3"
   },
   {
    "name": "international body",
    "definition": "An organisation that works across borders, founded by states or not: the United Nations, NATO, the European Commission, OPEC, Amnesty International. Not one country's ministry, and not a summit that such a body holds.",
    "colour": "#a8e6e1"
   },
   {
    "name": "territory",
    "definition": "A place with a government or a claim to one: country, province, city, district or disputed area, such as Kosovo, Texas or Nairobi. Also where it stands for its rulers, as in \"Paris refused\". Not nationality adjectives.",
    "colour": "#c9b8ff"
   },
   {
    "name": "vote",
    "definition": "A particular ballot of citizens or party members: general election, primary, run-off, referendum or leadership contest, such as the 2016 Brexit referendum or next month's by-election. Not opinion polls, and not a roll call in parliament.",
    "colour": "#ffb3ab"
   },
   {
    "name": "law or agreement",
    "definition": "A text with legal or diplomatic force: act, bill, constitution, decree, treaty or resolution, such as the Affordable Care Act or the Paris Agreement. Not a policy that has no text of its own, such as tax cuts.",
    "colour": "#dcc9a6"
   },
   {
    "name": "policy issue",
    "definition": "A matter that politics argues about, as a short noun phrase: climate change, abortion rights, inflation, border security, housing costs. Not a named law on it, and not empty words such as problem or agenda.",
    "colour": "#8fdcb0"
   },
   {
    "name": "conflict or crisis",
    "definition": "A war, coup, attack, protest wave, scandal or emergency that is named or clearly identified: the Gulf War, Watergate, the Beirut port explosion. Not elections, and not general words such as violence or unrest.",
    "colour": "#ccd5de"
   },
   {
    "name": "news outlet",
    "definition": "A newspaper, broadcaster, news agency or news site, as source or as subject: Reuters, Le Monde, the BBC, Politico. Not its reporters, and not social networks on which somebody posted a statement.",
    "colour": "#e6e64d"
   }
  ]
 },
 "personal-data": {
  "name": "personal-data",
  "version": "1.0",
  "description": "Personal data to find, review or mask, for privacy checks and data protection.",
  "entity_types": [
   {
    "name": "person name",
    "definition": "The name of a private or public human being, in part or full, with initials and suffixes: Maria del Carmen Ruiz, Jamal, O. Petrov Jr. Not user names or handles, not job titles, and not companies named after someone.",
    "colour": "#ffd6a5"
   },
   {
    "name": "address",
    "definition": "Where somebody lives, works or gets mail: street and number, flat, postcode, town, or GPS coordinates, such as 14 Elm Rd, Leeds LS1 4AP. One span for a whole address. Not a country mentioned in general.",
    "colour": "#a9c8ff"
   },
   {
    "name": "email address",
    "definition": "An electronic mail address, also when written to fool robots: ana.lopez@example.org, j dot smith at example dot com. Not a web page, and not a handle with a leading @ on a social network.",
    "colour": "#c9f2b0"
   },
   {
    "name": "phone number",
    "definition": "A number at which a person or office can be called, texted or faxed, with prefix and extension: +44 20 7946 0958, 555-0142 ext. 7. Not account, identity or order numbers of similar length.",
    "colour": "#ffc2e8"
   },
   {
    "name": "birth date or age",
    "definition": "When somebody was born, or how old somebody is: born 3 July 1984, DOB 07/03/84, aged 39, a 6-month-old. Not other dates such as appointments, and not the age of a thing or company.",
    "colour": "#fff3a3"
   },
   {
    "name": "identity number",
    "definition": "A number or code that an authority, employer or school gives to one person: passport, social security, tax, driving licence, patient or staff number. Not bank numbers, and not orders or tickets.",
    "colour": "#a8e6e1"
   },
   {
    "name": "payment detail",
    "definition": "What lets someone pay or be charged: card number, expiry date, CVV, IBAN, bank account, sort code or wallet address, such as 4111 1111 1111 1111. Not sums of money, and not the name of a bank.",
    "colour": "#c9b8ff"
   },
   {
    "name": "online identifier",
    "definition": "What points to one user or device on a network: user name, handle, profile link, IP or MAC address, cookie or device number, such as @dana_k or 192.168.0.12. Not email addresses, and not passwords.",
    "colour": "#ffb3ab"
   },
   {
    "name": "secret",
    "definition": "What proves who someone is and must stay hidden: password, PIN, one-time code, API key, access token or security answer, such as hunter2. Not user names, and not public codes such as postcodes.",
    "colour": "#dcc9a6"
   },
   {
    "name": "vehicle or property",
    "definition": "What identifies a thing that belongs to one person: number plate, chassis number, insurance policy, land register entry, such as KX19 ZPT. Not makes and models such as Ford Fiesta, and not postal addresses.",
    "colour": "#8fdcb0"
   },
   {
    "name": "health detail",
    "definition": "A fact on the body or mind of a particular person: illness, injury, pregnancy, disability, treatment, medicine or test result, such as type 1 diabetes or on lithium. Not medical facts that concern nobody in particular.",
    "colour": "#ccd5de"
   },
   {
    "name": "sensitive trait",
    "definition": "A particular person's religion, ethnic origin, political view, union membership, sexual orientation or criminal record: Sikh, gay, convicted of theft, a Unison member. Not health, and not traits of a whole country or group.",
    "colour": "#e6e64d"
   }
  ]
 },
 "restaurant": {
  "name": "restaurant",
  "version": "1.0",
  "description": "Guests' searches, bookings and reviews: where, what to eat, for whom, when, for how much, and was it good.",
  "entity_types": [
   {
    "name": "venue",
    "definition": "The proper name of one restaurant, cafe, bar, food truck or chain: Noma, Luigi's Trattoria, Golden Dragon, Starbucks. Not a general kind of place such as diner, and not the neighbourhood it is in.",
    "colour": "#ffd6a5"
   },
   {
    "name": "kind of place",
    "definition": "A general word for a type of eating or drinking place: bistro, steakhouse, sushi bar, drive-through, beer garden, food court. Not a proper name, not the bare word restaurant, and not the style of cooking.",
    "colour": "#a9c8ff"
   },
   {
    "name": "cooking style",
    "definition": "A national, regional or other tradition of cooking: Thai, Tex-Mex, Cantonese, soul food, fusion, farm-to-table. Not part of the name of one thing to eat, as in Greek salad, and not a diet such as vegan.",
    "colour": "#c9f2b0"
   },
   {
    "name": "food",
    "definition": "Something to eat that can be asked for: a course, side, snack, dessert or ingredient, such as pad thai, cheese fries, fresh oysters or tiramisu. Not drinks, and not meals of the day such as brunch.",
    "colour": "#ffc2e8"
   },
   {
    "name": "drink",
    "definition": "Something to drink, with or without alcohol, general or by name: espresso, house red, mango lassi, craft beer, Negroni. Not soup, not happy hour, and not a bar or taproom as a place.",
    "colour": "#fff3a3"
   },
   {
    "name": "dietary need",
    "definition": "What a guest must or wants to avoid or keep to: vegan, halal, gluten-free, peanut allergy, low in salt. Not a matter of taste such as spicy or fresh, and not a style of cooking.",
    "colour": "#a8e6e1"
   },
   {
    "name": "cost",
    "definition": "What it costs, as an amount or in words: under 20 dollars, three courses for 45 euros, cheap, mid-range, a bit overpriced. Not praise of quality, and not means of payment such as cash only.",
    "colour": "#c9b8ff"
   },
   {
    "name": "verdict",
    "definition": "A judgement of quality, in stars or in words, about food, service or mood: four stars, Michelin-starred, best in town, bland, friendly staff. Not a judgement of what it costs, and not plain facts.",
    "colour": "#ffb3ab"
   },
   {
    "name": "whereabouts",
    "definition": "Where a place is or ought to be: address, district, landmark, distance or direction, such as in Soho, near the station, within two miles, downtown, on the way home. Not a style of cooking named after a country.",
    "colour": "#dcc9a6"
   },
   {
    "name": "time",
    "definition": "When a guest wants to come or when a place serves: tonight at eight, Sunday, open past midnight, brunch, for lunch tomorrow. Not how long one waits for a table, and not dishes eaten then.",
    "colour": "#8fdcb0"
   },
   {
    "name": "party",
    "definition": "For whom or for how many: table for four, six of us, with toddlers, large groups, date night, my vegetarian parents. Not staff, and not the general public that usually goes there.",
    "colour": "#ccd5de"
   },
   {
    "name": "feature",
    "definition": "Something a place offers besides food and drink: terrace, parking, live jazz, delivery, wheelchair access, sea view, dogs welcome, takes reservations. Not how good the service is, and not opening times.",
    "colour": "#e6e64d"
   }
  ]
 },
 "science": {
  "name": "science",
  "version": "1.0",
  "description": "Research news, abstracts and textbooks across the natural sciences: who studied what, by what means.",
  "entity_types": [
   {
    "name": "scientist",
    "definition": "A human being by name who does or did research, inventors and physicians included: Ada Yonath, Darwin, S. Chandrasekhar. Not a law, unit, telescope or species named after one, as in Hubble, and not nameless experts.",
    "colour": "#ffd6a5"
   },
   {
    "name": "research body",
    "definition": "A university, institute, company, space agency or learned society by name: ETH Zurich, CERN, NASA, the Royal Society. Not journals, and not a spacecraft or telescope that it runs.",
    "colour": "#a9c8ff"
   },
   {
    "name": "organism",
    "definition": "A living or extinct kind of being, by Latin or common name, viruses included: Escherichia coli, blue whales, HIV-1, oak, Tyrannosaurus. Not parts of a body, and not patients or people taking part in a study.",
    "colour": "#c9f2b0"
   },
   {
    "name": "substance",
    "definition": "A chemical element, compound, mineral or material, by name or formula: helium, CO2, quartz, graphene, sodium chloride, ibuprofen. Not proteins, genes or other large molecules of life, and not living things.",
    "colour": "#ffc2e8"
   },
   {
    "name": "biomolecule",
    "definition": "A gene, protein, enzyme, hormone, receptor, DNA or RNA by name or symbol: BRCA1, insulin, Cas9, mitochondrial DNA. Not small molecules such as glucose, and not a cell or an organism that contains it.",
    "colour": "#fff3a3"
   },
   {
    "name": "body structure",
    "definition": "A part of a living thing, from cell component to organ: mitochondria, T cells, hippocampus, root hairs, wing. Not whole organisms, and not single kinds of molecule such as haemoglobin.",
    "colour": "#a8e6e1"
   },
   {
    "name": "celestial body",
    "definition": "A natural object in space, by name or catalogue number: Mars, Betelgeuse, the Andromeda galaxy, comet 67P, Kepler-22b. Not satellites and probes built by people, and not events such as a solar eclipse.",
    "colour": "#c9b8ff"
   },
   {
    "name": "phenomenon",
    "definition": "A process, effect or condition in nature, disease included: photosynthesis, superconductivity, El Nino, plate subduction, malaria. Not a theory that explains it, and not the procedure with which it was observed.",
    "colour": "#ffb3ab"
   },
   {
    "name": "theory",
    "definition": "A named law, model, hypothesis, principle or theorem: general relativity, Ohm's law, the RNA world hypothesis, natural selection. Not the phenomenon that it describes, and not the scientist who put it forward.",
    "colour": "#dcc9a6"
   },
   {
    "name": "instrument",
    "definition": "A device, vehicle or facility that researchers use, general or by name: mass spectrometer, James Webb Space Telescope, Large Hadron Collider, Voyager 1. Not the body that runs it, and not a way of working.",
    "colour": "#8fdcb0"
   },
   {
    "name": "technique",
    "definition": "A way of working in the laboratory, field or at the desk: PCR, radiocarbon dating, X-ray diffraction, double-blind trial, Monte Carlo simulation. Not the device used for it, and not what happens in nature by itself.",
    "colour": "#ccd5de"
   },
   {
    "name": "measurement",
    "definition": "A value with its unit or uncertainty, also percentages and ages of things: 5.2 kPa, 13.8 billion years, 37 ± 2 °C, 40% lower, pH 7.4. Not calendar dates, and not numbers without a unit such as three authors.",
    "colour": "#e6e64d"
   }
  ]
 }
}
""")
