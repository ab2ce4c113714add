"""Prompts of the attention studies: chains with checkable steps, facts, and factual against creative requests.

The chains come from the verifiable tasks of nilometer and are asked with worked examples, so that a correct answer
has one form and the first wrong token can be found by comparison. The requests come in pairs about one topic that
differ in the verb only, so that prompts of both kinds are equally long.
"""

from functools import partial

import numpy as np

from nilometer.models import TASKS, Question, make_problems, question_of

SEED, SHOTS = 20261125, 4
CHAINS = {
    "running_sum": (1, 2),
    "addition": (1, 2),
    "subtraction": (1, 2),
    "multiplication": (1,),
    "sorting": (1, 2),
    "word_reversal": (1, 2),
    "modulo": (1,),
    "gcd": (1,),
    "linear_equation": (1,),
    "roman": (1,),
    "maximum": (1, 2),
    "clock": (1,),
    "letter_counting": (1,),
    "spelling_backward": (1, 2),
}

_CAPITALS = """France Paris|Germany Berlin|Italy Rome|Spain Madrid|Portugal Lisbon|Austria Vienna|Belgium Brussels|Poland Warsaw|
Hungary Budapest|Greece Athens|Sweden Stockholm|Norway Oslo|Finland Helsinki|Denmark Copenhagen|Ireland Dublin|Iceland Reykjavik|
Russia Moscow|Ukraine Kyiv/Kiev|Romania Bucharest|Bulgaria Sofia|Serbia Belgrade|Croatia Zagreb|Slovenia Ljubljana|Slovakia Bratislava|
Turkey Ankara|Egypt Cairo|Morocco Rabat|Algeria Algiers|Tunisia Tunis|Libya Tripoli|Sudan Khartoum|Ethiopia Addis Ababa|Kenya Nairobi|
Uganda Kampala|Ghana Accra|Nigeria Abuja|Senegal Dakar|Mali Bamako|Zambia Lusaka|Zimbabwe Harare|Angola Luanda|Namibia Windhoek|
Japan Tokyo|China Beijing|India New Delhi/Delhi|Pakistan Islamabad|Bangladesh Dhaka|Nepal Kathmandu|Thailand Bangkok|Vietnam Hanoi|
Cambodia Phnom Penh|Laos Vientiane|Malaysia Kuala Lumpur|Indonesia Jakarta|Philippines Manila|Mongolia Ulaanbaatar|Iran Tehran|
Iraq Baghdad|Syria Damascus|Lebanon Beirut|Jordan Amman|Qatar Doha|Oman Muscat|Yemen Sanaa|Afghanistan Kabul|Uzbekistan Tashkent|
Georgia Tbilisi|Armenia Yerevan|Azerbaijan Baku|Kuwait Kuwait City|Canada Ottawa|Mexico Mexico City|Cuba Havana|Jamaica Kingston|
Haiti Port-au-Prince|Guatemala Guatemala City|Honduras Tegucigalpa|Nicaragua Managua|Panama Panama City|Colombia Bogota|
Venezuela Caracas|Ecuador Quito|Peru Lima|Bolivia La Paz/Sucre|Chile Santiago|Argentina Buenos Aires|Uruguay Montevideo|
Paraguay Asuncion|Brazil Brasilia|Australia Canberra|Fiji Suva|Albania Tirana|Estonia Tallinn|Latvia Riga|Lithuania Vilnius|
Belarus Minsk|Cyprus Nicosia|Malta Valletta|Switzerland Bern|Netherlands Amsterdam|Rwanda Kigali|Somalia Mogadishu|Chad N'Djamena"""
_SYMBOLS = """hydrogen H|helium He|lithium Li|carbon C|nitrogen N|oxygen O|fluorine F|neon Ne|sodium Na|magnesium Mg|aluminium Al|silicon Si|
phosphorus P|sulfur S|chlorine Cl|argon Ar|potassium K|calcium Ca|titanium Ti|chromium Cr|manganese Mn|iron Fe|cobalt Co|nickel Ni|
copper Cu|zinc Zn|arsenic As|bromine Br|krypton Kr|strontium Sr|silver Ag|cadmium Cd|tin Sn|iodine I|xenon Xe|barium Ba|tungsten W|
platinum Pt|gold Au|mercury Hg|lead Pb|bismuth Bi|radon Rn|uranium U|plutonium Pu|boron B|beryllium Be|antimony Sb|palladium Pd|radium Ra"""
_TOPICS = """apple bridge candle desert engine forest garden hammer island jacket kettle ladder mirror needle ocean piano river
rocket saddle temple tunnel valley violin window anchor basket bottle camera castle cannon carpet cheese circle clock cloud coffee
compass cotton dragon eagle feather flute fountain furnace galaxy glacier goat guitar harbor helmet honey horse hotel jungle kite
lantern lemon lion magnet market meadow monkey moon mountain museum orange oven owl paper parrot pencil pepper pillow planet pocket
potato prison pyramid rabbit radio ribbon robot rose ruler sailor salmon school shadow ship silver snake spider spoon station storm
sugar sword telescope tiger tower train turtle umbrella village volcano wagon whale wheel wolf zebra"""
_INVENTED = {
    "capitals": """Vorlandia Kestria Ombarra Tulvenia Drassland Quessia Marovia Belstan Zenthia Harundi Polvara Yestland Cardovia Nemoria
Ruzland Sombria Talquan Wexmoor Oltania Brevonia""",
    "symbols": "veltrium ostanium kraligen durvium pelenine zorbium quaxon marvite thulgen brastium",
}
_HEADS = {
    "capitals": "Q: What is the capital of Kazakhstan?\nA: Astana\n\nQ: What is the capital of Burundi?\nA: I don't know\n\n"
    "Q: What is the capital of Madagascar?\nA: Antananarivo\n\nQ: What is the capital of Togo?\nA: Lome\n\n",
    "symbols": "Q: What is the chemical symbol of rubidium?\nA: Rb\n\nQ: What is the chemical symbol of hafnium?\nA: I don't know\n\n"
    "Q: What is the chemical symbol of cesium?\nA: Cs\n\nQ: What is the chemical symbol of selenium?\nA: Se\n\n",
}
_DECLINING_HEADS = {
    "capitals": "Q: What is the capital of Burundi?\nA: I don't know\n\nQ: What is the capital of Kazakhstan?\nA: Astana\n\n"
    "Q: What is the capital of Lurmania?\nA: I don't know\n\nQ: What is the capital of Madagascar?\nA: Antananarivo\n\n",
    "symbols": "Q: What is the chemical symbol of hafnium?\nA: I don't know\n\nQ: What is the chemical symbol of rubidium?\nA: Rb\n\n"
    "Q: What is the chemical symbol of morvium?\nA: I don't know\n\nQ: What is the chemical symbol of cesium?\nA: Cs\n\n",
}
_PAIRS = (
    ("Explain the facts about a {}.", "Invent a tale about a {}."),
    ("Describe how a {} works in reality.", "Imagine how a {} dreams in space."),
    ("Define the word {} like a dictionary.", "Praise the word {} like a poet."),
)


def chain_questions(task: str, level: int, n: int) -> tuple[list[Question], list[str], list[str]]:
    """Return questions, the few-shot texts that the model sees, and the worked answers wanted."""
    number = list(TASKS).index(task)
    problems = make_problems(task, level, n, rng=np.random.default_rng([SEED, number, level]))
    asked = {problem.prompt for problem in problems}
    shots = make_problems(task, level, SHOTS, rng=np.random.default_rng([SEED, 1, number, level]), exclude=asked)
    head = "".join(f"Q: {shot.prompt}\nA: {shot.worked}\n\n" for shot in shots)
    questions = [question_of(problem, i) for i, problem in enumerate(problems)]
    questions = [
        q._replace(attributes={**q.attributes, "worked": p.worked}) for q, p in zip(questions, problems, strict=True)
    ]
    return questions, [f"{head}Q: {p.prompt}\nA:" for p in problems], [p.worked for p in problems]


def fact_questions(*, declining: bool = False) -> tuple[list[Question], list[str]]:
    """Return questions with known answers and the few-shot texts; one shot in four shows that not knowing is allowed.

    With ``declining`` every second shot declines, once about a thing that does not exist, and 30 invented things are
    asked for too; their only right answer is to decline.
    """
    heads = _DECLINING_HEADS if declining else _HEADS
    asks = {"capitals": "What is the capital of {}?", "symbols": "What is the chemical symbol of {}?"}
    questions, forms = [], []
    for domain, known in (("capitals", _CAPITALS), ("symbols", _SYMBOLS)):
        rows = [tuple(entry.strip().split(" ", 1)) for entry in known.replace("\n", "").split("|")]
        rows += [(name, "") for name in _INVENTED[domain].split()] if declining else []
        for i, (name, gold) in enumerate(rows):
            attributes = {"domain": domain, "gold": gold}
            asked = asks[domain].format(name)
            judge = partial(_right, gold, domain) if gold else _declined
            questions.append(Question(f"{domain}-{i}", asked, gold, attributes, judge))
            forms.append(f"{heads[domain]}Q: {asked}\nA:")
    return questions, forms


def _declined(answer: str) -> float:
    return float(not is_attempt(answer))


def _right(gold: str, domain: str, answer: str) -> float:
    said = answer.strip().strip(".")
    if domain == "symbols":
        return float(said == gold)
    plain = said.lower().replace("á", "a").replace("í", "i").replace("ó", "o")
    return float(any(plain.startswith(name.lower()) for name in gold.split("/")))


def is_attempt(answer: str) -> bool:
    """Tell whether an answer is more than saying that one does not know."""
    said = answer.lower()
    return bool(said.strip()) and "know" not in said and "not sure" not in said


def style_questions() -> list[Question]:
    """Return factual and creative requests about the same topics, in pairs of equal form."""
    questions = []
    for i, topic in enumerate(_TOPICS.split()):
        for kind, form in zip(("factual", "creative"), _PAIRS[i % len(_PAIRS)], strict=True):
            attributes = {"domain": kind, "topic": topic, "form": str(i % len(_PAIRS))}
            questions.append(Question(f"{topic}-{kind}", form.format(topic), None, attributes, None))
    return questions
