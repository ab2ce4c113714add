from .fields import find_place as find_place
from .items import (
    canonical_answer as canonical_answer,
    parse_items as parse_items,
    parse_text as parse_text,
    parse_tokens as parse_tokens,
)
from .kinds import (
    ANSWER_KINDS as ANSWER_KINDS,
    final_answer as final_answer,
    last_value as last_value,
    parse_answer as parse_answer,
    read_answer as read_answer,
)
from .labels import label_text as label_text
from .named import number_or_text as number_or_text, parse_scale as parse_scale, parser_for as parser_for
from .opinion_table import (
    Compare as Compare,
    add_draws as add_draws,
    add_opinions as add_opinions,
    add_stated as add_stated,
    prompt_keys as prompt_keys,
)
from .opinions import (
    AGREEMENT_KINDS as AGREEMENT_KINDS,
    STATED_CONFIDENCE as STATED_CONFIDENCE,
    agreement as agreement,
    agreement_column as agreement_column,
    draw_agreement as draw_agreement,
    feature_named as feature_named,
    opinion_columns as opinion_columns,
    opinion_of as opinion_of,
)
from .reader import (
    Found as Found,
    Parser as Parser,
    Reader as Reader,
    parse_label as parse_label,
    parse_number as parse_number,
    placed as placed,
)
