/* bench/orders.h - instructions, a schema of six fields, and messages to read orders
 * from; bench/peers/orders.py reads them here too, so that everybody is asked the same.
 */
#ifndef BENCH_ORDERS_H
#define BENCH_ORDERS_H

#define ORDERS_SCHEMA                                                                    \
    "{\"type\":\"object\",\"properties\":{"                                              \
    "\"order_id\":{\"type\":\"string\"},"                                                \
    "\"customer\":{\"type\":\"string\"},"                                                \
    "\"city\":{\"type\":\"string\"},"                                                    \
    "\"item\":{\"type\":\"string\"},"                                                    \
    "\"quantity\":{\"type\":\"integer\",\"minimum\":1},"                                 \
    "\"express\":{\"type\":\"boolean\"}},"                                               \
    "\"required\":[\"order_id\",\"customer\",\"city\",\"item\",\"quantity\","            \
    "\"express\"],"                                                                      \
    "\"additionalProperties\":false}"

#define ORDERS_BEFORE                                                                    \
    "Read the order in each message and write it as JSON that fits this "                \
    "schema: " ORDERS_SCHEMA "\n\n"                                                      \
    "Message: Good morning, Paul Verhoeven here, in Utrecht. My order R-20417 was for "  \
    "two oak stools, and there is no hurry at all.\n"                                    \
    "JSON: {\"order_id\": \"R-20417\", \"customer\": \"Paul Verhoeven\", \"city\": "     \
    "\"Utrecht\", \"item\": \"oak stools\", \"quantity\": 2, \"express\": false}\n\n"    \
    "Message: order no. Q-11893 / name: Lena Brandt / to: Graz / 5 wool blankets / "     \
    "please by express\n"                                                                \
    "JSON: {\"order_id\": \"Q-11893\", \"customer\": \"Lena Brandt\", \"city\": "        \
    "\"Graz\", \"item\": \"wool blankets\", \"quantity\": 5, \"express\": true}\n\n"     \
    "Message: "
#define ORDERS_BEHIND "\nJSON: "

static const char *const orders_messages[] = {
    "Hello, this is Maria Gonzalez from Valencia. I would like 3 copper kettles. My "
    "order "
    "number is A-48213. Please send it by express, thank you!",
    "Order: T-90551. Customer: Henrik Lund. City: Aarhus. Item: reading lamps. Quantity: "
    "4. Normal delivery is fine.",
    "hi, i ordered 12 beeswax candles (order K-33067), name is Sofia Rossi, ship to "
    "Turin, "
    "no express needed",
    "Dear team, please confirm order M-71248 for Ahmed Mansour: one walnut desk to be "
    "brought to Marseille. It is urgent, use express.",
    "Could you tell me when C-15590 arrives? That is 6 garden chairs for Ingrid Solberg "
    "in "
    "Bergen. Standard shipping.",
    "Name: Tomasz Zielinski\nCity: Gdansk\nOrder: H-62014\nWanted: 2 canvas "
    "tents\nExpress: "
    "yes",
    "We are waiting for 20 steel brackets under number B-28836. The buyer is Claire "
    "Dubois, "
    "the address is in Nantes. Express was paid.",
    "My name is Peter Novak and I live in Brno. I bought 1 leather satchel, order number "
    "F-40972, ordinary post please.",
    "F.A.O. sales: order W-55301, Katarina Horvat, Zagreb, 8 linen tablecloths, not by "
    "express.",
    "Good evening! Order L-83729 has 10 glass jars in it, for Emma Wilson in Leeds. "
    "Could "
    "it come by express?",
    "this is about order P-17465 from joao pereira in porto, 7 cork mats, slow delivery "
    "is "
    "ok",
    "Please add express delivery to D-96620, which is 2 bread knives for Anna Kowalska, "
    "Poznan.",
    "Order number S-24158 was placed by Lars Eriksson of Uppsala and holds 15 pine "
    "boards. "
    "No rush.",
    "To whom it may concern: Fatima Haddad (Lyon) ordered 3 silk scarves with number "
    "N-50843 and paid for express.",
    "E-77190 / David Meyer / Basel / 9 felt hats / express no",
    "I am Olga Petrova. Under G-31476 I ordered 4 ceramic bowls to Tallinn. Express "
    "please, it is a present.",
};
#endif
