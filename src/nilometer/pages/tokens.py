"""An answer token by token as one HTML file: shaded by confidence, with what each token was weighed against."""

import base64
import json
from html import escape
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnswerView", "TokenView", "render_tokens"]


class TokenView(NamedTuple):
    """One token and what is known about it."""

    text: str
    confidence: float
    """In [0, 1]."""
    probability: float
    entropy: float
    """Nats."""
    varentropy: float
    """Nats squared."""
    alternatives: tuple[tuple[str | None, float], ...]
    """Text, where it was kept, and probability, best first."""


class AnswerView(NamedTuple):
    """One answer."""

    trace_id: str
    prompt: str | None
    tokens: tuple[TokenView, ...]
    correct: float | None
    attention: NDArray[np.float64] | None
    """Shape (tokens, layers, heads), attention entropy over log visible keys, in [0, 1]; None without attention."""


_STYLE = """
:root{color-scheme:light dark;--ink:#1c1f24;--soft:#5b6470;--line:#d9dde3;--paper:#fff;--hot:196,86,26}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a2abb8;--line:#3a414b;--paper:#16191e;--hot:230,120,60}}
*{box-sizing:border-box}body{margin:0 auto;max-width:62rem;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,sans-serif}h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.05rem;margin:2.2rem 0 .4rem}
.soft{color:var(--soft)}p{max-width:46rem;overflow-wrap:anywhere}.answer{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);
border-radius:6px;padding:.8rem;line-height:2;font-family:ui-monospace,monospace;font-size:.95rem}
.t{background:rgba(var(--hot),var(--a));border-radius:3px;padding:.12em 0;border-bottom:2px solid transparent;cursor:pointer}
.t:hover,.t:focus,.t[aria-selected=true]{outline:2px solid var(--ink);outline-offset:1px}.low{border-bottom-color:rgb(var(--hot))}
.line::before{content:"\\21b5";color:var(--soft)}
.detail{display:grid;grid-template-columns:minmax(14rem,1fr) minmax(12rem,1fr);gap:1rem;border:1px solid var(--line);border-radius:6px;padding:.8rem;
margin-top:.5rem;min-height:11rem}table{border-collapse:collapse;font-size:.9rem}td,th{padding:.1rem .6rem .1rem 0;text-align:left;font-variant-numeric:tabular-nums}
canvas{image-rendering:pixelated;width:100%;max-width:28rem;height:auto;border:1px solid var(--line)}code{white-space:pre}
@media(max-width:40rem){.detail{grid-template-columns:1fr}}@media print{.t{print-color-adjust:exact;-webkit-print-color-adjust:exact}.detail{display:none}}
"""

_SCRIPT = """
const pages=JSON.parse(document.getElementById('tokens').textContent);
const shown=s=>JSON.stringify(s).slice(1,-1);
for(const [n,page] of pages.entries()){
 const box=document.querySelector(`[data-answer="${n}"]`),spans=[...box.querySelectorAll('.t')],detail=document.getElementById(`detail-${n}`);
 const map=page.map&&Uint8Array.from(atob(page.map.data),c=>c.charCodeAt(0));
 const show=i=>{const t=page.tokens[i];
  const rows=t.alternatives.map(([text,p],j)=>{const tr=document.createElement('tr');
   for(const cell of [j+1,text===null?'(text not kept)':shown(text),p.toFixed(3)]){const td=document.createElement('td');td.textContent=cell;tr.append(td)}return tr});
  detail.querySelector('.what').textContent=`token ${i+1} of ${page.tokens.length}: "${shown(t.text)}"`;
  detail.querySelector('.numbers').textContent=`confidence ${t.confidence.toFixed(2)} · probability ${t.probability.toFixed(3)} · entropy ${t.entropy.toFixed(2)} nats · varentropy ${t.varentropy.toFixed(2)} nats²`;
  detail.querySelector('tbody').replaceChildren(...rows);
  spans.forEach((s,j)=>{s.setAttribute('aria-selected',j===i);s.tabIndex=j===i?0:-1});
  if(map){const [,L,H]=page.map.shape,c=detail.querySelector('canvas'),g=c.getContext('2d'),image=g.createImageData(L,H);let sum=0,n=0;
   for(let l=0;l<L;l++)for(let h=0;h<H;h++){const v=map[(i*L+l)*H+h],o=4*(h*L+l);const x=v===255?null:v/254;if(x!==null){sum+=x;n++}
    image.data.set(x===null?[128,128,128,255]:[Math.round(255-222*x),Math.round(245-143*x),Math.round(235-63*x),255],o)}
   g.putImageData(image,0,0);c.setAttribute('aria-label',`attention entropy by layer and head, mean ${(sum/n).toFixed(2)} of 1`)}};
 spans.forEach((s,i)=>{s.addEventListener('mouseenter',()=>show(i));s.addEventListener('focus',()=>show(i));s.addEventListener('click',()=>{show(i);s.focus()});
  s.addEventListener('keydown',e=>{const to={ArrowRight:i+1,ArrowLeft:i-1,Home:0,End:spans.length-1}[e.key];
   if(to!==undefined&&spans[to]){e.preventDefault();spans[to].focus()}})});
 if(spans.length)show(page.lowest);
}
"""


def render_tokens(answers: list[AnswerView], *, calibrated: bool, title: str = "Token by token") -> str:
    """Write answers as one HTML page that opens offline.

    An answer is a list box with a token an option, so that a screen reader hands the arrow keys on: Tab into an answer,
    then the arrow keys, Home and End. Every token carries its numbers in its label; low confidence is underlined, not
    only shaded. All text is escaped.
    """
    kind = "calibrated confidence" if calibrated else "the probability of the sampled token (not calibrated)"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=soft>{len(answers):,} answers. Shade: {kind}; darker is less sure, "
        "underlined below one half. Tab into an answer, then arrow keys.</p>",
    ]
    parts += [_answer(answer, number) for number, answer in enumerate(answers)]
    data = json.dumps([_data(answer) for answer in answers], ensure_ascii=False).replace("</", "<\\/")
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport "
        f"content='width=device-width,initial-scale=1'><title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f'<body><main>{"".join(parts)}</main><script type="application/json" id="tokens">{data}</script>'
        f"<script>{_SCRIPT}</script></body></html>"
    )


def _answer(answer: AnswerView, number: int) -> str:
    verdict = "no label" if answer.correct is None else "correct" if answer.correct >= 0.5 else "wrong"
    spans = "".join(_token(token, i == _lowest(answer)) for i, token in enumerate(answer.tokens))
    layers = None if answer.attention is None else answer.attention.shape[1:]
    figure = (
        ""
        if layers is None
        else (
            '<figure style="margin:0" aria-label="attention map of the token">'
            f"<canvas width={layers[0]} height={layers[1]} role=img></canvas><figcaption class=soft>"
            f"Attention entropy, {layers[0]} layers from left to right, {layers[1]} heads from top to bottom; darker is more scattered"
            "</figcaption></figure>"
        )
    )
    return (
        f"<section><h2>{escape(answer.trace_id)} <span class=soft>· {verdict}</span></h2>"
        f"<p>{escape((answer.prompt or '')[:500])}</p>"
        f"<div class=answer data-answer={number} role=listbox aria-orientation=horizontal "
        f'aria-label="answer, {len(answer.tokens)} tokens">{spans}</div>'
        f"<div class=detail id=detail-{number}><div aria-live=polite><strong class=what></strong><p class=numbers></p>"
        "<table><thead><tr><th scope=col>rank<th scope=col>alternative<th scope=col>probability</tr></thead><tbody></tbody>"
        f"</table></div>{figure}</div></section>"
    )


def _token(token: TokenView, first: bool) -> str:  # noqa: FBT001 - one caller
    label = f"{token.text!r}, confidence {token.confidence:.2f}, entropy {token.entropy:.2f} nats"
    marks = " low" * (token.confidence < 0.5) + " line" * (token.text.strip(" ") in {"\n", "\r\n"})
    shade = min(max(1 - token.confidence, 0.0), 1.0) * 0.8
    return (
        f'<span class="t{marks}" role=option tabindex={0 if first else -1} style="--a:{shade:.2f}" '
        f'title="{escape(label)}" aria-label="{escape(label)}">{escape(token.text)}</span>'
    )


def _lowest(answer: AnswerView) -> int:
    return min(range(len(answer.tokens)), key=lambda i: answer.tokens[i].confidence, default=0)


def _data(answer: AnswerView) -> dict[str, object]:
    page: dict[str, object] = {"lowest": _lowest(answer), "tokens": [token._asdict() for token in answer.tokens]}
    if answer.attention is not None:
        values = np.where(np.isnan(answer.attention), 255, np.clip(np.nan_to_num(answer.attention), 0, 1) * 254)
        data = base64.b64encode(np.round(values).astype(np.uint8).tobytes()).decode()
        page["map"] = {"shape": list(answer.attention.shape), "data": data}
    return page
