# SPDX-License-Identifier: MIT
def echo(value=None):
    print("execution starts when 'next()' is called ")
    try:
        while True:
            try:
                value = (yield value)
            except Exception as e:
                value = e
    finally:
        print("Don't forget to clean up when 'closed()' is called")


a = echo(2)
print(next(a))
print(next(a))
print(next(a))
print(a.send(3))
print(a.send(4))
print(repr(a.throw(TypeError("spam"))))
print(next(a))
a.close()
try:
    next(a)
except StopIteration:
    print("StopIteration")
