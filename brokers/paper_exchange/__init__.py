"""A broker that holds no money: an HTTP server that speaks OpenAlgo's contract, on paper.

    __main__   the command that runs it        api, schemas, answers   the contract over HTTP
    exchange   all state, under one lock       store                   what survives a kill
    listing    contracts and their terms       pricing                 what they are worth
    matching   when an order fills             books, funds            what that leaves
    floor      where orders meet the market    fill_script             orders that fill in pieces
    faults     what can go wrong, as data      fault_plan, fault_gate  which calls it strikes
    truth      what is, whatever was told      fault_*                 what each fault does

An order that was acknowledged is on disk. Money is right for every contract, also where the
gateway's own sandbox is wrong (a lot of GOLDM earns ten rupees a rupee, whatever its lotsize).
"""
