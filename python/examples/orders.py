r"""A shop: POST /orders stores an order and sends it on in one transaction.

    pip install './python[sqlalchemy]' fastapi uvicorn
    export DATABASE_URL=postgresql+psycopg://postgres@localhost/shop
    uvicorn orders:app
    python orders.py            # beside it: ships what was ordered

    curl localhost:8000/orders -H 'Content-Type: application/json' \
        -d '{"item": "pen", "quantity": 2}'

An order exists if and only if its message does, and it is shipped once, whoever crashes when.
"""

from __future__ import annotations

import os

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgmq import Message, SQLAlchemyPGMQueue
from pgmq_sqlalchemy import op

engine = create_engine(os.environ["DATABASE_URL"])
queue = SQLAlchemyPGMQueue(engine=engine)


class Base(DeclarativeBase):
    """What the tables have in common."""


class Order(Base):
    """What was ordered."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    quantity: Mapped[int]


class Shipment(Base):
    """What was sent out: one for each order, if nothing goes wrong; no key sees to that."""

    __tablename__ = "shipments"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]


Base.metadata.create_all(engine)
queue.create_queue("orders")

app = FastAPI()


class NewOrder(BaseModel):
    """The body of POST /orders."""

    item: str
    quantity: int


@app.post("/orders", status_code=201)
def create_order(new: NewOrder) -> dict[str, int]:
    """Store an order and send it on: both when the transaction commits, or neither."""
    with Session(engine) as session:
        order = Order(item=new.item, quantity=new.quantity)
        session.add(order)
        session.flush()
        op.send("orders", {"order_id": order.id}, session=session, commit=False)
        session.commit()
        return {"id": order.id}


def ship(message: Message) -> None:
    """Do what a message asks for and acknowledge it: both, or neither."""
    with Session(engine) as session:
        session.add(Shipment(order_id=message.message["order_id"]))
        session.flush()
        # False if it took too long and somebody else has the message: then nothing is committed.
        if queue.ack("orders", message.msg_id, message.read_ct, conn=session):
            session.commit()


def main() -> None:
    """Ship for ever."""
    while True:
        for message in queue.read_with_poll("orders", vt=30, max_poll_seconds=5):
            ship(message)


if __name__ == "__main__":
    main()
