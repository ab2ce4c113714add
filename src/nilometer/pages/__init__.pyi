from .report import render_html as render_html
from .routes import render_route_html as render_route_html
from .tokens import AnswerView as AnswerView, TokenView as TokenView, render_tokens as render_tokens
from .watch import render_watch_html as render_watch_html
