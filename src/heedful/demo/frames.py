"""Our own sentences in English, German, French and Spanish, around the slots."""

from __future__ import annotations

from .phrases import (
    AREAS,
    CURRENCIES,
    LENGTHS,
    MASSES,
    SHORT_UNITS,
    SIGNS,
    SPEEDS,
    UNITS,
    VOLUMES,
    Date,
    Frame,
    Measure,
    Names,
    Number,
    Percent,
    Price,
    Relative,
    Span,
    Time,
)

COUNT = Number(1, 99_999)
DECIMAL = Number(1, 9_999, 1)
CENTS = Number(1, 999_999, 2)
LATE = Time(first=2)
BARE = ("{}",) * 4

FRAMES: tuple[Frame, ...] = (
    Frame("dates", (Date("short"),), BARE),
    Frame("dates", (Date("medium"),), BARE),
    Frame("dates", (Date("long"),), BARE),
    Frame("dates", (Date("full"),), BARE),
    Frame(
        "dates",
        (Date("long"),),
        ("The meeting is on {}.", "Das Treffen ist am {}.", "La réunion est le {}.", "La reunión es el {}."),
    ),
    Frame(
        "dates",
        (Date("medium"),),
        ("She was born on {}.", "Sie wurde am {} geboren.", "Elle est née le {}.", "Nació el {}."),
    ),
    Frame("times", (Time(),), BARE),
    Frame(
        "times",
        (LATE,),
        ("The shop opens at {}.", "Das Geschäft öffnet um {}.", "Le magasin ouvre à {}.", "La tienda abre a las {}."),
    ),
    Frame(
        "times",
        (LATE,),
        ("The film ends at {}.", "Der Film endet um {}.", "Le film finit à {}.", "La película termina a las {}."),
    ),
    Frame(
        "appointments",
        (Date("long"), LATE),
        (
            "The train leaves on {} at {}.",
            "Der Zug fährt am {} um {} ab.",
            "Le train part le {} à {}.",
            "El tren sale el {} a las {}.",
        ),
    ),
    Frame(
        "appointments",
        (Date("medium"), LATE),
        (
            "The concert starts on {} at {}.",
            "Das Konzert beginnt am {} um {}.",
            "Le concert commence le {} à {}.",
            "El concierto empieza el {} a las {}.",
        ),
    ),
    Frame("durations", (Span((("hour", 99), ("minute", 59))),), BARE),
    Frame("durations", (Span((("minute", 99), ("second", 59))),), BARE),
    Frame("durations", (Span((("day", 99), ("hour", 99), ("minute", 59))),), BARE),
    Frame("durations", (Relative(1),), BARE),
    Frame("durations", (Relative(-1),), BARE),
    Frame(
        "durations",
        (Span((("hour", 99), ("minute", 59))),),
        ("The flight takes {}.", "Der Flug dauert {}.", "Le vol dure {}.", "El vuelo dura {}."),
    ),
    Frame(
        "durations",
        (Relative(1),),
        ("The course starts {}.", "Der Kurs beginnt {}.", "Le cours commence {}.", "El curso empieza {}."),
    ),
    Frame(
        "durations",
        (Relative(-1),),
        ("The letter arrived {}.", "Der Brief kam {} an.", "La lettre est arrivée {}.", "La carta llegó {}."),
    ),
    Frame("units", (Measure(UNITS, COUNT),), BARE),
    Frame("units", (Measure(UNITS, DECIMAL),), BARE),
    Frame("units", (Measure(SHORT_UNITS, DECIMAL, "short"),), BARE),
    Frame(
        "units",
        (Measure(LENGTHS, COUNT),),
        ("The bridge is {} long.", "Die Brücke ist {} lang.", "Le pont mesure {}.", "El puente mide {}."),
    ),
    Frame(
        "units",
        (Measure(MASSES, DECIMAL),),
        ("The box weighs {}.", "Die Kiste wiegt {}.", "La caisse pèse {}.", "La caja pesa {}."),
    ),
    Frame(
        "units",
        (Measure(VOLUMES, COUNT),),
        ("The tank holds {}.", "Der Tank fasst {}.", "Le réservoir contient {}.", "El depósito contiene {}."),
    ),
    Frame(
        "units",
        (Measure(AREAS, DECIMAL),),
        ("The field covers {}.", "Das Feld umfasst {}.", "Le champ couvre {}.", "El campo abarca {}."),
    ),
    Frame(
        "units",
        (Measure(SPEEDS, COUNT),),
        ("Wind speed: {}", "Windgeschwindigkeit: {}", "Vitesse du vent : {}", "Velocidad del viento: {}"),
    ),
    Frame("prices", (Price(SIGNS, CENTS, "standard"),), BARE),
    Frame("prices", (Price(CURRENCIES, CENTS, "name"),), BARE),
    Frame(
        "prices",
        (Price(SIGNS, CENTS, "standard"),),
        ("The ticket costs {}.", "Die Fahrkarte kostet {}.", "Le billet coûte {}.", "El billete cuesta {}."),
    ),
    Frame(
        "prices",
        (Price(CURRENCIES, CENTS, "name"),),
        (
            "She paid {} for the book.",
            "Sie hat {} für das Buch bezahlt.",
            "Elle a payé {} pour le livre.",
            "Pagó {} por el libro.",
        ),
    ),
    Frame("lists", (Names("country"),), BARE),
    Frame("lists", (Names("language"),), BARE),
    Frame("lists", (Names("country"),), ("Countries: {}", "Länder: {}", "Pays : {}", "Países: {}")),
    Frame("lists", (Names("language"),), ("She speaks {}.", "Sie spricht {}.", "Elle parle {}.", "Habla {}.")),
    Frame(
        "numbers",
        (Number(1, 999), Number(1, 999)),
        ("Row {}, seat {}", "Reihe {}, Platz {}", "Rang {}, place {}", "Fila {}, asiento {}"),
    ),
    Frame(
        "numbers",
        (COUNT,),
        (
            "The city has {} inhabitants.",
            "Die Stadt hat {} Einwohner.",
            "La ville compte {} habitants.",
            "La ciudad tiene {} habitantes.",
        ),
    ),
    Frame(
        "numbers",
        (COUNT,),
        (
            "There are {} books in the library.",
            "In der Bibliothek gibt es {} Bücher.",
            "Il y a {} livres à la bibliothèque.",
            "Hay {} libros en la biblioteca.",
        ),
    ),
    Frame(
        "numbers",
        (DECIMAL,),
        ("The average is {}.", "Der Durchschnitt beträgt {}.", "La moyenne est de {}.", "El promedio es {}."),
    ),
    Frame("percents", (Percent(1, 999),), BARE),
    Frame("percents", (Percent(1, 999, 1),), BARE),
    Frame(
        "percents",
        (Percent(1, 999, 1),),
        (
            "Sales rose by {}.",
            "Der Umsatz stieg um {}.",
            "Les ventes ont augmenté de {}.",
            "Las ventas aumentaron un {}.",
        ),
    ),
    Frame(
        "percents",
        (Percent(1, 99),),
        (
            "The battery is at {}.",
            "Der Akku steht bei {}.",
            "La batterie est à {}.",
            "La batería está al {}.",
        ),
    ),
)
