//! A machine for classic BPF, as far as seccomp has it: what a filter answers, on any architecture.

use seccompiler::sock_filter;

/// What a filter is asked (`struct seccomp_data`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) audit_arch: u32,
    pub(crate) args: [u64; 6],
}

impl Call {
    fn load(&self, offset: u32) -> u32 {
        let low = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap();
        match offset {
            0 => self.number,
            4 => self.audit_arch,
            16..64 => {
                let arg = self.args[usize::try_from((offset - 16) / 8).unwrap()];
                if offset.is_multiple_of(8) {
                    low(arg)
                } else {
                    low(arg >> 32)
                }
            }
            _ => panic!("load from {offset}"),
        }
    }
}

/// Runs a program; its answer and the number of instructions that it took.
pub(crate) fn run(program: &[sock_filter], call: &Call) -> (u32, usize) {
    let mut accumulator = 0;
    let mut next = 0;
    for steps in 1.. {
        let it = &program[next];
        next += 1;
        let jump = |holds: bool| usize::from(if holds { it.jt } else { it.jf });
        match it.code {
            0x20 => accumulator = call.load(it.k),
            0x54 => accumulator &= it.k,
            0x05 => next += usize::try_from(it.k).unwrap(),
            0x15 => next += jump(accumulator == it.k),
            0x25 => next += jump(accumulator > it.k),
            0x35 => next += jump(accumulator >= it.k),
            0x06 => return (it.k, steps),
            code => panic!("opcode {code:#x}"),
        }
    }
    unreachable!()
}
