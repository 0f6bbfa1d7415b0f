"""The boards that `sparnn bitstream` and `sparnn run` know."""

from collections.abc import Mapping

from sparnn.gen.errors import SparnnError

from .board import Board, Pin, SerialBoard, SystemBoard

__all__ = [
    "BOARDS",
    "SERIAL_BOARDS",
    "SYSTEM_BOARDS",
    "Board",
    "Pin",
    "SerialBoard",
    "SystemBoard",
    "find_board",
]

#: The smallest memories, from which compile starts.
_LEAST = {
    "columns": 32,
    "mask_depth": 64,
    "weight_depth": 256,
    "rows": 64,
    "parameter_depth": 64,
    "state_depth": 16,
    "store_depth": 64,
    "program_depth": 4,
}

_ALL: tuple[Board, ...] = (
    SerialBoard(
        name="ulx3s",
        title="ULX3S with ECP5-85F",
        family="ecp5",
        platform="amaranth_boards.ulx3s:ULX3S_85F_Platform",
        clock=Pin("clk25"),
        clock_mhz=25,
        machine_mhz=80,
        lights={
            "idle": Pin("led", 0),
            "busy": Pin("led", 1),
            "error": Pin("led", 2),
            "heartbeat": Pin("led", 3),
        },
        # Low, it would send the ESP32 into its boot loader.
        high={"esp32_gpio0": Pin("esp32", 0, "gpio0")},
        device="85k",
        flash="openFPGALoader -b ulx3s sparnn.bit",
        machine={"lanes": 8, "width": 8, **_LEAST},
    ),
    SerialBoard(
        name="ecpix5",
        title="ECPIX-5 with ECP5-5G-85F",
        family="ecp5",
        platform="amaranth_boards.ecpix5:ECPIX585Platform",
        clock=Pin("clk100"),
        clock_mhz=100,
        machine_mhz=80,
        lights={
            "idle": Pin("rgb_led", 0, "g"),
            "busy": Pin("rgb_led", 1, "b"),
            "error": Pin("rgb_led", 2, "r"),
            "heartbeat": Pin("rgb_led", 3, "g"),
        },
        low=("idle", "busy", "error", "heartbeat", "reset"),
        reset=Pin("rst"),
        device="um5g-85k",
        flash="openFPGALoader -b ecpix5 sparnn.bit",
        machine={"lanes": 8, "width": 8, **_LEAST},
    ),
    SerialBoard(
        name="icebreaker",
        title="iCEBreaker with iCE40UP5K",
        family="ice40",
        platform="amaranth_boards.icebreaker:ICEBreakerPlatform",
        clock=Pin("clk12"),
        clock_mhz=12,
        machine_mhz=24,
        lights={"error": Pin("led_r", 0), "heartbeat": Pin("led_g", 0)},
        low=("error", "heartbeat"),
        pad=True,
        depth=256,
        device="up5k",
        flash="iceprog sparnn.bin",
        machine={
            "lanes": 2,
            "chunk": 8,
            "sub_chunk": 4,
            "queue_depth": 2,
            "backwards": 0,
            "compact": 1,
            "large_memory": 1024,
            **_LEAST,
        },
    ),
    SerialBoard(
        name="tang_nano_9k",
        title="Tang Nano 9K with GW1NR-9C",
        family="gowin",
        platform="amaranth_boards.tang_nano_9k:TangNano9kPlatform",
        clock=Pin("clk27"),
        clock_mhz=27,
        machine_mhz=27,
        lights={
            "idle": Pin("led", 0),
            "busy": Pin("led", 1),
            "error": Pin("led", 2),
            "heartbeat": Pin("led", 3),
        },
        low=("idle", "busy", "error", "heartbeat"),
        device="gw1n-9c",
        flash="openFPGALoader -b tangnano9k sparnn.fs",
        machine={"lanes": 1, "chunk": 16, **_LEAST},
    ),
    SerialBoard(
        name="arty_a7_35",
        title="Arty A7-35 with XC7A35T",
        family="xilinx7",
        platform="amaranth_boards.arty_a7:ArtyA7_35Platform",
        clock=Pin("clk100"),
        clock_mhz=100,
        machine_mhz=50,
        lights={
            "idle": Pin("led", 0),
            "busy": Pin("led", 1),
            "error": Pin("led", 2),
            "heartbeat": Pin("led", 3),
        },
        low=("reset",),
        reset=Pin("rst"),
        device="xc7a35t",
        flash="openFPGALoader -b arty_a7_35t sparnn.bit",
        machine={"lanes": 8, **_LEAST},
    ),
    *(
        SystemBoard(
            name=name,
            title=f"{title} with XC7Z020",
            family="xilinx7",
            device="xc7z020",
            machine_mhz=50,
            machine={"lanes": 16, **_LEAST},
            files=files,
        )
        for name, title, files in (
            ("pynq_z2", "PYNQ-Z2", "pynq-z2"),
            ("zybo_z7_20", "Zybo Z7-20", "zybo-z7-20"),
            ("arty_z7_20", "Arty Z7-20", "arty-z7-20"),
        )
    ),
)

BOARDS: Mapping[str, Board] = {board.name: board for board in _ALL}
SERIAL_BOARDS: Mapping[str, SerialBoard] = {
    board.name: board for board in _ALL if isinstance(board, SerialBoard)
}
SYSTEM_BOARDS: Mapping[str, SystemBoard] = {
    board.name: board for board in _ALL if isinstance(board, SystemBoard)
}


def find_board(name: str) -> Board:
    """The board of that name.

    Raises
    ------
    SparnnError: there is none.
    """
    if name not in BOARDS:
        raise SparnnError(f"--board {name}: unknown; the boards are {', '.join(BOARDS)}")
    return BOARDS[name]
